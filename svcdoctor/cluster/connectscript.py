"""The script that tries connections inside a container, and sends requests over those that open.

POSIX sh. Arguments: a token, a TLS greeting, the number of requests and for each its kind, bytes, path and host; then
for each target its address, port and the number of its request, 0 for none. Bytes stand as formats of printf(1).

A line that begins with the token is the script's, and written at once, so that those of parallel targets do not mix:
    TOKEN tool TOOL
    TOKEN NUMBER CODE HUNDREDTHS WORDS     the connection
    TOKEN NUMBER PART HUNDREDTHS HEX       the first bytes that came back: PART is plain, hello, secure or grpc
    TOKEN done
"""

from __future__ import annotations

import shlex

from svcdoctor.cluster.shell import WITHIN

# Each tool connects, and closes at once what opens. In their order; the first that calls a closed port refused is used.
TOOLS = ("nc", "nc -e", "bash", "python3", "node", "curl", "agnhost")

AT_ONCE = 24  # processes that connect

_PYTHON = """\
import socket,ssl,sys
a=sys.argv
try:s=socket.create_connection(a[1:3],2)
except OSError as e:sys.exit(str(e))
if a[4:]:s=ssl._create_unverified_context().wrap_socket(s)
if a[3:]:s.sendall(sys.stdin.buffer.read())
for _ in range(int(a[3]) if a[3:] else 0):sys.stdout.buffer.write(s.recv(512));sys.stdout.flush()"""
_NODE = """\
const[a,p,n,t]=process.argv.slice(1),e=x=>{console.error(x.code||x);process.exit(1)};let c=n;
const f=()=>n?s.write(require("fs").readFileSync(0)):process.exit(0);
const s=t?require("tls").connect({host:a,port:p,rejectUnauthorized:false},f):require("net").connect(p,a,f);
s.setTimeout(2e3,()=>e("ETIMEDOUT"));s.on("error",e);s.on("end",()=>process.exit(0));
s.on("data",d=>{process.stdout.write(d.subarray(0,512));--c||process.exit(0)})"""

CONNECT = (
    WITHIN
    + r"""
set -f
export LC_ALL=C
token=$1 hello=$2 requests=$3
shift 3
number=0
while [ $number -lt "$requests" ]; do
    number=$((number + 1))
    eval "kind_$number=\$1 bytes_$number=\$2 path_$number=\$3 host_$number=\$4"
    shift 4
done
python='"""
    + _PYTHON
    + r"""'
node='"""
    + _NODE
    + r"""'
has() { command -v "$1" >/dev/null 2>&1; }
now() { read -r uptime rest 2>/dev/null </proc/uptime || uptime=$(date +%s).00; uptime=${uptime%.*}${uptime#*.}; }

# nc of BSD, GNU, nmap and larger busyboxes; that of a busybox without -z; bash and others, which connect by themselves.
connect() {
    case $1 in
        nc) nc -z -vv -w 2 "$2" "$3" ;;
        "nc -e") nc -w 2 "$2" "$3" -e true ;;
        bash) within 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$2" "$3" ;;
        python3) python3 -c "$python" "$2" "$3" ;;
        node) node -e "$node" "$2" "$3" ;;
        curl)
            case $2 in *:*) set -- curl "[$2]" "$3" ;; esac
            said=$(curl -sS -m 2 -o /dev/null -w 'open:%{time_connect}' "telnet://$2:$3" 2>&1 </dev/null); code=$?
            printf %s "$said"
            case $said in *open:0.000000) return $code ;; *) return 0 ;; esac ;;
        agnhost) "$agnhost" connect --timeout=2s "$2:$3" ;;
    esac </dev/null 2>&1
}

agnhost=$(command -v agnhost || command -v /agnhost)
tool=none unfit=
for candidate in @TOOLS@; do
    case $candidate in agnhost) has "$agnhost" ;; *) has "${candidate%% *}" ;; esac || continue
    case $(connect "$candidate" 127.0.0.1 1) in
        *efused*|*REFUSED*|*"(7)"*) tool=$candidate; break ;;
        *) unfit=${candidate%% *} ;;
    esac
done
printf '%s tool %s\n' "$token" "$tool $unfit"
[ "$tool" = none ] && exit

# What sends bytes as they are: bash, python, node, nc of busybox, nc of BSD. And what speaks TLS: not the wget of
# busybox, which leaves a process behind.
speaker=
has nc && case $(nc --help 2>&1; nc -h 2>&1) in *BusyBox*) speaker='nc -e' ;; *OpenBSD*) speaker=nc ;; esac
for candidate in node python3 bash; do has $candidate && speaker=$candidate; done
has od && has dd && has head && has sleep || speaker=
secured=
for candidate in node python3 curl; do has $candidate && secured=$candidate; done

answer='exec 3>&2 2>/dev/null; printf "$0"; exec dd bs=512 count=$1 >&3'

# The first bytes of the answer to the bytes $3, in $4 pieces at most.
speak() {
    case $speaker in
        bash) within 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"; printf "$2" >&3; exec dd bs=512 count=$3 <&3' "$@" ;;
        python3) printf "$3" | within 2 python3 -c "$python" "$1" "$2" "$4" ;;
        node) printf "$3" | within 2 node -e "$node" "$1" "$2" "$4" ;;
        "nc -e") within 2 nc -w 2 "$1" "$2" -e sh -c "$answer" "$3" "$4" 2>&1 ;;
        nc) printf "$3" | within 2 nc -w 2 "$1" "$2" | dd bs=512 count="$4" ;;
    esac 2>/dev/null
}

# The same inside of TLS, whoever the certificate is for.
secure() {
    case $secured in
        python3) printf "$3" | within 2 python3 -c "$python" "$1" "$2" 1 tls ;;
        node) printf "$3" | within 2 node -e "$node" "$1" "$2" 1 tls ;;
        curl)
            case $1 in *:*) set -- "[$1]" "$2" ;; esac
            curl -ksSi --http1.1 -m 2 --connect-to "::$1:$2" "https://$host:$2$path" ;;
    esac </dev/null 2>/dev/null
}

part() {
    now; began=$uptime
    said=$("$2" "$4" "$5" "$6" "$7" | head -c 2048 | od -An -v -tx1 | tr -d ' \n')
    now
    printf '%s %s %s %s %s\n' "$token" "$3" "$1" "$((uptime - began))" "$said"
}

ask() {
    eval "kind=\$kind_$4 bytes=\$bytes_$4 path=\$path_$4 host=\$host_$4"
    case $kind in
        http)
            part plain speak "$1" "$2" "$3" "$bytes" 1
            case $said in 485454502f312e??20343030*) ;; 485454502f312e*) return ;; esac
            part hello speak "$1" "$2" "$3" "$hello" 1 ;;
        https)
            part hello speak "$1" "$2" "$3" "$hello" 1
            case $said in
                1[56]03*) part secure secure "$1" "$2" "$3" "$bytes" 1 ;;
                *) part plain speak "$1" "$2" "$3" "$bytes" 1 ;;
            esac ;;
        grpc)
            part grpc speak "$1" "$2" "$3" "$bytes" 4
            [ -n "$said" ] || part hello speak "$1" "$2" "$3" "$hello" 1 ;;
    esac
}

try() {
    now; began=$uptime
    said=$(connect "$tool" "$2" "$3"); code=$?
    now
    if [ $code -ne 0 ] && [ $((uptime - began)) -lt 150 ]; then
        sleep 1
        now; began=$uptime
        said=$(connect "$tool" "$2" "$3"); code=$?
        now
    fi
    printf '%s %s %s %s %s\n' "$token" "$1" "$code" "$((uptime - began))" "$(printf '%s ' $said)"
    [ $code -eq 0 ] && [ "$4" -gt 0 ] && [ -n "$speaker" ] && ask "$@"
}

number=0
now; started=$uptime
while [ $# -ge 3 ]; do
    number=$((number + 1))
    try $number "$1" "$2" "$3" &
    shift 3
    [ $((number % @AT_ONCE@)) -eq 0 ] || continue
    wait
    now
    [ $((uptime - started)) -lt 800 ] || break
done
wait
printf '%s done\n' "$token"
"""
)
CONNECT = CONNECT.replace("@AT_ONCE@", str(AT_ONCE)).replace("@TOOLS@", shlex.join(TOOLS))


def as_format(data: bytes) -> str:
    """Bytes as a format of printf(1) that prints them: dash, bash and busybox agree on octal escapes and %%."""
    plain = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 /.:_=*@?&;,+-()")
    return "".join("%%" if byte == 0x25 else chr(byte) if byte in plain else f"\\{byte:03o}" for byte in data)
