# What a host shows of itself, read in one go with what every Debian has. Changes nothing.
#
# Arguments: the state directory, the model names, `--`, the model files. Each answer stands below a line of
# its own that starts with the ASCII record separator; the reader is genesis_stack/verify/facts.py.

export LC_ALL=C SYSTEMD_COLORS=0 SYSTEMD_PAGER=cat
PATH=$PATH:/usr/sbin:/sbin
answer() { printf '\n\036%s\n' "$1"; shift; "$@" 2>&1; }

state=$1; shift
models=; while [ $# -gt 0 ] && [ "$1" != -- ]; do models="$models $1"; shift; done
[ $# -gt 0 ] && shift

generation_files() {
    cd "$state/current/files" || return
    find . -type f | while read -r file; do
        live=${file#.}
        printf '%s\t%s\t%s\n' "$live" "$(stat -c '%a %U' "$live" 2>&1)" "$(sha256sum <"$live" 2>&1)"
    done
}

model_files() {
    for file; do stat -c '%n	%a	%U:%G	%s' "$file" 2>&1; done
    for file; do sha256sum "$file" 2>/dev/null & done # at once, each a line; what it complains of may come in pieces
    wait
}

namespaces() { for kind in cgroup ipc mnt net pid user uts; do echo "$kind $(readlink "/proc/$1/ns/$kind")"; done; }

limits() {
    while IFS=: read -r _ controllers path; do
        case $controllers in
            name=*) continue ;;
            '') group=/sys/fs/cgroup$path ;;
            *) group=/sys/fs/cgroup/$controllers$path ;;
        esac
        for name in memory.max memory.swap.max memory.limit_in_bytes cpu.max cpu.cfs_quota_us \
            cpu.cfs_period_us pids.max; do
            [ -f "$group/$name" ] && echo "$name $(cat "$group/$name")"
        done
    done <"/proc/$1/cgroup"
}

sockets() {
    for pid; do
        for descriptor in "/proc/$pid"/fd/*; do
            case $(readlink "$descriptor") in socket:*) echo "$pid $(readlink "$descriptor")" ;; esac
        done
    done
}

answer uid id -u
answer booted ls -d /run/systemd/system
answer clock date +%s.%N
answer hostname cat /proc/sys/kernel/hostname
answer machine-id cat /etc/machine-id
answer kernel uname -srm
answer os sh -c '. /etc/os-release && echo "$PRETTY_NAME"'
answer systemd sh -c 'systemctl --version | head -n 1'
answer container systemd-detect-virt --container
answer uptime cat /proc/uptime
answer cpu sh -c 'grep -m 1 -E "^(flags|Features)" /proc/cpuinfo; grep -m 1 "^model name" /proc/cpuinfo; nproc'
answer memory grep -E '^(MemTotal|MemAvailable|SwapTotal|SwapFree):' /proc/meminfo
answer hugepages cat /sys/kernel/mm/transparent_hugepage/enabled
answer synchronized timedatectl show --property=NTPSynchronized --value
answer disk df -P -B1 "$state"
answer secrets find -L /etc/genesis-stack/secrets /etc/genesis-stack/verify.key -printf '%m\t%u\t%y\t%p\n'
answer current readlink "$state/current"
answer generation cat "$state/current/generation.json"
answer stack cat "$state/current/stack.yaml"
answer journal ls "$state/journal.json"
answer generation-files generation_files
answer model-files model_files "$@"

units='genesis.slice genesis.target genesis-prometheus.service genesis-alertmanager.service genesis-exporter.service'
for model in $models; do units="$units $model-server.service $model-server.socket"; done
answer units systemctl show $units --property=Id,LoadState,ActiveState,SubState,UnitFileState,FragmentPath \
    --property=DropInPaths,NeedDaemonReload,MainPID,NRestarts,Result,ExecMainCode,ExecMainStatus,OOMPolicy \
    --property=MemoryMax,TasksMax,CPUQuotaPerSecUSec,Listen

answer tcp cat /proc/net/tcp /proc/net/tcp6
slice=$(systemctl show genesis.slice --property=ControlGroup --value)
pids=$(find /sys/fs/cgroup -path "*$slice/*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u)
[ -n "$slice" ] || pids=
answer sockets sockets 1 $pids

for model in $models; do
    answer "unit $model" systemctl cat "$model-server.service"
    answer "exposure $model" systemd-analyze security "$model-server.service"
    pid=$(systemctl show "$model-server.service" --property=MainPID --value)
    [ "${pid:-0}" -gt 0 ] && [ -d "/proc/$pid" ] || continue
    answer "status $model" cat "/proc/$pid/status"
    answer "namespaces $model" namespaces "$pid"
    answer "mounts $model" cat "/proc/$pid/mountinfo"
    answer "limits $model" limits "$pid"
    answer "tcp $model" cat "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6"
    answer "links $model" cat "/proc/$pid/net/dev"
    answer "rlimits $model" cat "/proc/$pid/limits"
done
answer "namespaces 1" namespaces 1
exit 0
