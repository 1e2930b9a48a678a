#!/usr/bin/env bash
# Runs a command on a copy of this checkout in a Debian of another release:
#
#	libtorch/debian.sh SUITE [COMMAND]
#
# SUITE is trixie, testing, or another name that debootstrap knows. Without a command it runs what make test-in runs: set-up,
# build, the quick start, and the tests that compute. The Debian lies in $ENGRAM_ROOTS (~/.cache/engram/debian) and is made by
# debootstrap the first time, which takes a minute or two; Go, its modules and the proxy settings are this machine's. Needs
# root.
set -eu -o pipefail

here=$(CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")" && pwd)
die() {
	printf 'debian.sh: %s\n' "$*" >&2
	exit 1
}

suite=${1:?usage: libtorch/debian.sh SUITE [COMMAND]}
command=${2:-"make run && . libtorch/env.sh && go test -p 1 -timeout 20m ./tensor/... ./nn ./memory ./encoder ./metric"}
roots=${ENGRAM_ROOTS:-${XDG_CACHE_HOME:-$HOME/.cache}/engram/debian}
root=$roots/$suite

[ "$(id -u)" = 0 ] || die "needs root, for chroot and debootstrap: sudo make test-in SUITE=$suite"
unshare --mount true 2>/dev/null || die "this machine does not let root mount (unshare --mount fails), so nothing can be run in another Debian; use a virtual machine or a container with CAP_SYS_ADMIN"

# Only a root that was finished has this file.
if [ ! -e "$root/etc/engram-ready" ]; then
	if ! command -v debootstrap >/dev/null; then
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends debootstrap >/dev/null ||
			die "there is no debootstrap, and apt-get cannot install it"
	fi
	echo "debian.sh: making a Debian $suite in $root"
	rm -rf "$root"
	mkdir -p "$roots"
	log=$(mktemp)
	debootstrap --variant=minbase --include=ca-certificates,make "$suite" "$root" >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		rm -rf "$root"
		die "debootstrap could not make a Debian $suite; see above"
	}
	rm -f "$log"
	touch "$root/etc/engram-ready"
fi

# A copy, so that nothing of the run appears in the checkout: what git tracks, and new files that it does not ignore.
cd "$here/.."
rm -rf "$root/engram"
mkdir -p "$root/engram" "$root/usr/local/go" "$root/root/go/pkg/mod" "$root/root/.cache"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
	[ ! -e "$file" ] || printf '%s\0' "$file"
done | tar --null --files-from=- --create --file=- | tar --extract --file=- --directory="$root/engram"
[ ! -f /etc/resolv.conf ] || cp -L /etc/resolv.conf "$root/etc/resolv.conf"

go mod download
export ENGRAM_GOROOT ENGRAM_GOMODCACHE ENGRAM_IN=$root
ENGRAM_GOROOT=$(go env GOROOT)
ENGRAM_GOMODCACHE=$(go env GOMODCACHE)
# The mounts are in a name space of their own and end with it, however this ends.
# shellcheck disable=SC2016 # the inner shell expands
exec unshare --mount --propagation private bash -euc '
	mount --bind "$ENGRAM_GOROOT" "$ENGRAM_IN/usr/local/go"
	mount --bind "$ENGRAM_GOMODCACHE" "$ENGRAM_IN/root/go/pkg/mod"
	mount -t proc proc "$ENGRAM_IN/proc" || mount --rbind /proc "$ENGRAM_IN/proc"
	mount --rbind /dev "$ENGRAM_IN/dev"
	exec chroot "$ENGRAM_IN" /usr/bin/env -i \
		HOME=/root TERM=dumb LANG=C.UTF-8 PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
		GOPROXY=off GOFLAGS="-mod=readonly -buildvcs=false ${ENGRAM_GOFLAGS:-}" GOTOOLCHAIN=local \
		bash -euc "cd /engram; $0"
' "$command"
