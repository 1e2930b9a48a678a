#!/usr/bin/env bash
# Builds Engram against the LibTorch that it finds (libtorch/env.sh: $LIBTORCH, or the PyTorch of python3) and checks a CUDA
# device against the CPU: the first training step of every experiment, steps from CUDA graphs against steps without, 50 steps of each
# experiment, and the rows of bench.
#
#	bench/gpu/run.sh [--device cuda|cuda:N|cpu] [--json FILE] [--budget 9m]
#
# Everything together, the build included, stays within the budget. Exits with status 1 where a check fails; FILE says which.
set -eu -o pipefail
started=$SECONDS
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

device=cuda json=gpu.json budget=9m
while [ $# -gt 0 ]; do
	case $1 in
	--device) device=$2 ;;
	--json) json=$2 ;;
	--budget) budget=$2 ;;
	*)
		echo "run.sh: unknown argument $1; usage: bench/gpu/run.sh [--device cuda|cuda:N|cpu] [--json FILE] [--budget 9m]" >&2
		exit 2
		;;
	esac
	shift 2
done
case $budget in
*[0-9]m) seconds=$((${budget%m} * 60)) ;;
*[0-9]s) seconds=${budget%s} ;;
*)
	echo "run.sh: --budget $budget: give minutes or seconds, such as 9m or 540s" >&2
	exit 2
	;;
esac

# A bundle brings its own Go and its modules.
if [ -x ../go/bin/go ]; then
	PATH=$PWD/../go/bin:$PATH
	export GOTOOLCHAIN=local GOFLAGS=-mod=vendor
fi
. libtorch/env.sh
mkdir -p bin
go build -buildvcs=false -o bin/gpu ./bench/gpu
go build -buildvcs=false -o bin/bench ./bench
bin/gpu -device "$device" -json "$json" -bench bin/bench -budget $((seconds - (SECONDS - started)))s
