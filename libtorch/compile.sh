#!/usr/bin/env bash
# Compiles the C++ that is not in Go's build cache, and says how far it is. Where it does not compile, one sentence says which
# function this LibTorch lacks and what to do. Quick where there is nothing to do.
#
#	libtorch/compile.sh [go build's flags, such as -race]
set -u -o pipefail

here=$(CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.." || exit 1
# shellcheck source=/dev/null
. "$here/env.sh" || exit 1

stale=$(go list "$@" -deps -f '{{if and .Stale .CXXFiles}}{{.ImportPath}}{{end}}' ./tensor/...) || exit 1
[ -n "$stale" ] || exit 0

total=$(wc -l <<<"$stale")
echo "The first build compiles $total packages of C++ against $ENGRAM_LIBTORCH: 1 to 4 minutes, once."
log=$(mktemp)
precompiled=$ENGRAM_LIBTORCH_HOME/gotch.h.gch
trap 'rm -f "$log" "$precompiled" "$precompiled.$$"' EXIT

# Most files include LibTorch's headers, which take longer to compile than many a file. GCC uses a precompiled header only for the
# first file that a source includes, which is gotch.h, and only with the same flags. gotch itself is compiled with other flags, so
# GCC reads gotch.h for it; Clang would stop with an error instead. The object files are the same.
if [ "$total" -gt 3 ] && ${CXX:-g++} --version | grep -q 'Free Software Foundation'; then
	eval "${CXX:-g++} -fPIC $([ "$(uname -m)" = x86_64 ] && echo -m64) -pthread $CGO_CXXFLAGS -O3 -g0 -fopenmp -Wno-psabi -x c++-header tensor/internal/kernels/torch.h -o '$precompiled.$$'" >/dev/null 2>&1 &&
		mv "$precompiled.$$" "$precompiled"
	printf '  0 of %d: headers (%d s)\n' "$total" "$SECONDS"
fi

# go build -v prints a package's name when it begins to compile it. The one that takes longest is named first, to be begun first.
if go build "$@" -v ./tensor/internal/kernels/memory ./tensor/... 2>&1 | tee "$log" | {
	begun=0
	while IFS= read -r line; do
		if grep -qxF -- "$line" <<<"$stale"; then
			begun=$((begun + 1))
			printf '  %d of %d: %s (%d s)\n' "$begun" "$total" "${line##*/}" "$SECONDS"
		fi
	done
}; then
	printf '  done (%d s)\n' "$SECONDS"
	exit 0
fi

# The function is the last that begins above the place of the first error. In a lambda the compiler does not name it.
error=$(grep -m 1 -E '^[^ ]+:[0-9]+:([0-9]+:)? (fatal )?error: ' "$log")
if [ -z "$error" ]; then
	grep -vE '^[[:alnum:]./_-]+$' "$log" >&2 # all but the packages' names
	exit 1
fi
IFS=: read -r file line _ <<<"$error"
what=${error#*error: }
source=$(find tensor -name "$(basename "$file")" | head -n 1)
in=
if [ -n "$source" ]; then
	in=$(head -n "$line" "$source" | sed -n 's/^[[:alpha:]][^;=]*[ *&]\([[:alnum:]_]*\)(.*/\1/p' | tail -n 1)
fi
keep=${XDG_CACHE_HOME:-$HOME/.cache}/engram/compile.log
mkdir -p "${keep%/*}" && cp "$log" "$keep"
printf 'Engram does not build with %s: %s (%s) does not compile: %s; build with a LibTorch that docs/libtorch.md lists as tested (LIBTORCH=system for the distribution'"'"'s, or LIBTORCH=FOLDER), or report this with %s\n' \
	"$ENGRAM_LIBTORCH" "${in:-the code}" "$(basename "$file"):$line" "$what" "$keep" >&2
exit 1
