#!/bin/sh
# Installs what the lab, the client stories and the benches need on Debian 12.
#
#   tests/install.sh [lab|trixie|clients|bench|all]...      (default: all)
#
# Safe to run again: where nothing is missing it says nothing and changes nothing. Nothing it
# installs is started. The machine's own package sources stay as they are.
set -eu

lab='mariadb-server galera-4 icinga2-bin icinga2-common icinga2-ido-mysql rsync iproute2 nftables procps strace'
clients='python3-pymysql python3-mysqldb php-cli php-mysql golang-go golang-github-go-sql-driver-mysql-dev'
bench='haproxy nginx libnginx-mod-stream'
trixie='debootstrap mount util-linux'

root=$(cd "$(dirname "$0")/.." && pwd)
state=$root/.lab
log=$state/install.log
policy=/usr/sbin/policy-rc.d

main() {
    packages= consul= debian13=
    [ $# -gt 0 ] || set -- all
    for group in "$@"; do
        case $group in
            lab) packages="$packages $lab" consul=1 ;;
            trixie) packages="$packages $trixie" debian13=1 ;;
            clients) packages="$packages $clients" ;;
            bench) packages="$packages $bench" ;;
            all) packages="$packages $lab $trixie $clients $bench" consul=1 debian13=1 ;;
            -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
            *) fail "unknown group '$group': choose from lab, trixie, clients, bench, all" ;;
        esac
    done
    # Any C compiler will do for the Rust crates that bring C along.
    command -v cc >/dev/null || packages="$packages gcc libc6-dev"

    command -v dpkg-query >/dev/null ||
        fail "this is no Debian: install the equivalents of$packages by hand"
    missing=$(not_installed $packages)
    if [ -n "$missing" ]; then
        install_packages $missing
    fi
    if [ -n "$consul" ]; then
        install_consul || say "no Consul: $why. The lab will use its own DNS stand-in (see $log)"
    fi
    if [ -n "$debian13" ]; then
        install_trixie || say "no MariaDB 11.8: $why. The lab's servers of that version are missing (see $log)"
    fi
}

# Prints those of the packages given that are not installed.
not_installed() {
    present=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
        sed -n 's/^installed //p') || true
    for package in "$@"; do
        printf '%s\n' "$present" | grep -qxF -- "$package" || printf '%s ' "$package"
    done
}

install_packages() {
    as_root true || fail "these packages are missing: $*. Install them, or run this as root or with sudo"
    say "installing $*"
    if [ ! -e "$policy" ]; then
        # Debian starts services on installation. The lab starts its own, elsewhere.
        trap 'as_root rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    # A broken third-party source is none of our business: what counts is the installation.
    logged as_root apt-get -q update || true
    logged as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install \
        --no-install-recommends "$@" || fail "the installation failed" "$log"
}

# Consul left Debian after bullseye. Its package is unpacked into .lab/consul, not installed; it comes
# from the archive the machine already uses, by a list of sources that only this call sees.
install_consul() {
    [ -x "$state/consul/usr/bin/consul" ] && return 0
    command -v consul >/dev/null && return 0
    why='no Debian archive in the sources of this machine'
    archive=$(debian_archive)
    [ -n "$archive" ] || return 1
    say "fetching Consul 1.8.7"
    why='it could not be fetched'
    work=$state/consul.apt
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keyring] $archive bullseye main" >"$work/sources.list"
    # The files belong to whoever runs this, so apt must not drop to its own user.
    set -- -q -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none
    logged apt-get "$@" update || return 1
    (cd "$work" && logged apt-get "$@" download consul) || return 1
    why='its package could not be unpacked'
    logged dpkg -x "$work"/consul_*.deb "$work/root" || return 1
    mv "$work/root" "$state/consul"
    rm -rf "$work"
}

# Debian 13 is unpacked into .lab/trixie, for its MariaDB 11.8. Nothing in it is started here.
#
# Every mount is made in a mount namespace of its own, and ends with it: no `rm -rf` can walk through one
# into this machine's /proc or /dev, whatever fails.
install_trixie() {
    [ -x "$state/trixie/usr/sbin/mariadbd" ] && return 0
    why='no Debian archive in the sources of this machine'
    archive=$(debian_archive)
    [ -n "$archive" ] || return 1
    why='root is needed'
    as_root true || return 1
    say "making a Debian 13 with MariaDB 11.8"
    half=$state/trixie.half
    as_root rm -rf --one-file-system "$half"
    why='it could not be made'
    logged as_root unshare --mount --propagation private \
        sh -eu -c "$make_trixie" make-trixie "$half" "$archive" || return 1
    as_root mv "$half" "$state/trixie"
}

make_trixie='
    root=$1 archive=$2
    debootstrap --variant=minbase trixie "$root" "$archive"
    printf "#!/bin/sh\nexit 101\n" >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    echo "127.0.0.1 localhost" >"$root/etc/hosts"
    mount --rbind /proc "$root/proc"
    mount --rbind /dev "$root/dev"
    chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install \
        --no-install-recommends mariadb-server galera-4 rsync
    # Space only: the sources name the archive of this machine, and nothing is installed later.
    rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb \
        "$root"/var/lib/apt/lists/* "$root/var/lib/mysql"
'

# The first address of a Debian archive that this machine fetches its own packages from.
debian_archive() {
    {
        sed -n 's/^URIs:[[:space:]]*//p' /etc/apt/sources.list.d/debian.sources
        sed -n 's/^deb[[:space:]]\{1,\}\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\).*/\2/p' \
            /etc/apt/sources.list
    } 2>/dev/null | tr -s ' ' '\n' | grep -v security | head -n 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        return 1
    fi
}

logged() {
    echo "+ $*" >>"$log"
    "$@" >>"$log" 2>&1
}

say() { echo "install: $*" >&2; }

# Ends with a message and, when a log is named, its last lines.
fail() {
    say "$1"
    if [ -n "${2-}" ]; then
        tail -n 15 "$2" >&2
        say "all of it is in $2"
    fi
    exit 1
}

mkdir -p "$state"
main "$@"
