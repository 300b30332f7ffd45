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
        "$@" <&3 3<&- & command=$!
        { trap 'kill $!; wait $!; exit' TERM; sleep "$seconds" & wait $!; kill $command; } 3<&- >/dev/null 2>&1 &
        watchdog=$!
        { wait $command; code=$?; kill $watchdog; wait $watchdog; } 2>/dev/null
    } 3<&0
    return $code
}
"""
