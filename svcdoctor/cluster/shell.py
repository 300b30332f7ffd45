"""What the scripts have in common that are run inside containers: POSIX sh, as dash, bash and busybox have it."""

from __future__ import annotations

WITHIN = r"""
# within SECONDS COMMAND...: as timeout(1), whose exit code is 124; 143 where it is done here.
# The timeout of busybox leaves a process behind that nobody waits for: each run would be a zombie more, wherever the
# first process of the container does not reap what it has not started. What is started here is waited for here.
case $(timeout --version 2>/dev/null </dev/null) in *coreutils*) timeout=timeout ;; *) timeout= ;; esac
within() {
    if [ "$timeout" ]; then timeout "$@"; return; fi
    seconds=$1
    shift
    if ! command -v sleep >/dev/null 2>&1; then "$@"; return; fi  # the deadline of the exec has to do
    {
        sleep "$seconds" >/dev/null 2>&1 3<&- & sleeper=$!
        {
            trap 'kill $command; wait $command; exit 143' TERM
            "$@" <&3 3<&- & command=$!
            { wait $command; code=$?; kill $sleeper; } 2>/dev/null
            exit $code
        } & worker=$!
        # Nobody is stopped who may just be starting: a signal that comes a moment before `wait` is noticed after it.
        { wait $sleeper && kill $worker; wait $worker; code=$?; } 2>/dev/null
    } 3<&0
    return $code
}
"""
