#!/usr/bin/env bash
# Compiles all C++ against the headers of Debian testing's LibTorch, for this machine and for arm64, without linking or running:
# make check-headers runs it in a Debian root, as root, so that nothing is installed on the machine itself.
set -eu -o pipefail

here=$(CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
headers=/var/cache/engram-headers

DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
apt-get -qq update
apt-get -qq install -y --no-install-recommends g++ g++-aarch64-linux-gnu >/dev/null
# shellcheck source=/dev/null
. /etc/os-release

# Downloads a LibTorch's headers with lists of packages of their own, and unpacks them: unpack SUITE ARCHITECTURE. Testing's lists
# expire after a week; for headers to compile against, a mirror's older ones will do. They are signed all the same.
unpack() {
	local at=$headers/$1-$2
	mkdir -p "$at/lists/partial" "$at/archives/partial"
	sed "s/\b$VERSION_CODENAME\b/$1/" /etc/apt/sources.list >"$at/sources.list"
	local apt=(apt-get -qq -o Dir::Etc::SourceList="$at/sources.list" -o Dir::Etc::SourceParts=/dev/null
		-o Dir::State::Lists="$at/lists" -o Dir::Cache::Archives="$at/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
		-o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root -o APT::Architecture="$2" -o APT::Architectures="$2")
	"${apt[@]}" update
	(cd "$at" && rm -f ./*.deb && "${apt[@]}" download libtorch-dev && rm -rf root && dpkg-deb --extract ./*.deb root)
}

failed=
# check NAME COMPILER HEADERS compiles each C++ file, as many at a time as there are processors. LibTorch's headers are compiled once,
# as in compile.sh.
check() {
	local name=$1 compiler=$2 include=$3/root/usr/include std=c++17 result=compiles begin=$SECONDS
	grep -q '__cplusplus < 202002L' "$include/ATen/ATen.h" && std=c++20
	local flags=(-w -fopenmp "-std=$std" -I"$include" -I"$include/torch/csrc/api/include") gotch room
	gotch=$(go list -m -f '{{.Dir}}' github.com/sugarme/gotch)/libtch
	"$compiler" "${flags[@]}" -fsyntax-only -include libtorch/gotch.h -I"$gotch" -DENGRAM_GOTCH_ALL "$gotch/torch_api.cpp" &

	cp libtorch/gotch.h "$3/"
	flags+=(-include "$3/gotch.h")
	for room in tensor/internal/kernels/*/; do flags+=(-I"$room"); done
	rm -f "$3/gotch.h.gch"
	"$compiler" "${flags[@]}" -x c++-header tensor/internal/kernels/torch.h -o "$3/gotch.h.gch" || result="does not compile"
	find tensor -name '*.cpp' -print0 | xargs -0 -n 1 -P "$(nproc)" "$compiler" "${flags[@]}" -fsyntax-only || result="does not compile"
	wait $! || result="does not compile"
	printf '%s, LibTorch %s, %s: %s (%d s)\n' "$name" "$(dpkg-deb --field "$3"/libtorch-dev_*.deb Version)" "$std" "$result" $((SECONDS - begin))
	[ "$result" = compiles ] || failed=yes
}

unpack testing "$(dpkg --print-architecture)"
unpack testing arm64
check "$(dpkg --print-architecture)" g++ "$headers/testing-$(dpkg --print-architecture)"
check arm64 aarch64-linux-gnu-g++ "$headers/testing-arm64"
[ -z "$failed" ]
