#!/usr/bin/env bash
# Packs what the GPU check needs on a machine without a network and without Go: this checkout, its Go modules, and the Go
# toolchain without what only its own development needs. The machine brings Python with PyTorch and a C++ compiler.
#
#	bench/gpu/bundle.sh [FILE]     writes FILE, or gpu-bundle.tar.xz
#
# There: tar xf gpu-bundle.tar.xz && gpu-bundle/engram/bench/gpu/run.sh
set -eu -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

out=$(realpath -m "${1:-gpu-bundle.tar.xz}")
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
to=$room/gpu-bundle

mkdir -p "$to/engram"
git ls-files -z --cached --others --exclude-standard | grep -zv '^results/\(runs\|plots\)/' | tar c --null -T - | tar x -C "$to/engram"
# A vendored build needs no module cache.
go mod vendor -o "$to/engram/vendor"

root=$(go env GOROOT)
tools=pkg/tool/$(go env GOHOSTOS)_$(go env GOHOSTARCH)
mkdir -p "$to/go/$tools" "$to/go/bin"
cp "$root"/{VERSION,go.env} "$to/go/"
cp "$root/bin/go" "$to/go/bin/"
cp -r "$root/pkg/include" "$to/go/pkg/"
for tool in asm cgo compile link; do cp "$root/$tools/$tool" "$to/go/$tools/"; done
tar c -C "$root" --exclude=testdata --exclude='*_test.go' --exclude='src/cmd/*' src | tar x -C "$to/go"
mkdir -p "$to/go/src/cmd"

tar c -C "$room" gpu-bundle | xz -T0 -4 >"$out"
printf '%s: %d MB\n' "$out" $(($(stat -c %s "$out") / 1000000))
