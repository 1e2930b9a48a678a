# Tells the Go toolchain where LibTorch is and how gotch compiles and links against it. Source it (bash, zsh or sh):
#
#	. libtorch/env.sh && go build ./... && go test ./...
#
# LibTorch is taken from $LIBTORCH (an unpacked LibTorch: include/ and lib/), else from the distribution's package.
# Sourcing it twice does no harm. It returns non-zero, with one message, where there is no LibTorch.

_engram_env() {
	# This file's folder: bash and zsh know it; a plain sh must be at the top of the checkout.
	if [ -n "${BASH_SOURCE:-}" ]; then
		_engram_here=$(cd "$(dirname "${BASH_SOURCE}")" && pwd)
	elif [ -n "${ZSH_VERSION:-}" ]; then
		_engram_here=$(eval 'cd "$(dirname "${(%):-%x}")" && pwd')
	else
		_engram_here=$(pwd)/libtorch
	fi
	if [ ! -f "$_engram_here/compat.h" ]; then
		echo "libtorch/env.sh: cannot tell where the checkout is; source it from its top folder: . libtorch/env.sh" >&2
		return 1
	fi

	_engram_include= _engram_lib=
	if [ -n "${LIBTORCH:-}" ]; then
		if [ ! -f "$LIBTORCH/include/torch/version.h" ] && [ ! -f "$LIBTORCH/include/torch/csrc/api/include/torch/version.h" ]; then
			echo "libtorch/env.sh: LIBTORCH=$LIBTORCH holds no include/…/torch/version.h; set it to the folder an unpacked LibTorch makes, or unset it to use the distribution's package" >&2
			return 1
		fi
		_engram_include=$LIBTORCH/include
		_engram_lib=$LIBTORCH/lib
	else
		_engram_include=/usr/include
		for _engram_dir in /usr/lib/*-linux-gnu /usr/lib64 /usr/lib; do
			if [ -e "$_engram_dir/libtorch_cpu.so" ]; then
				_engram_lib=$_engram_dir
				break
			fi
		done
		if [ -z "$_engram_lib" ] || [ ! -f /usr/include/torch/csrc/api/include/torch/version.h ]; then
			echo "libtorch/env.sh: no LibTorch found; run 'make setup' (Debian, Ubuntu), or unpack LibTorch 2.1 (cxx11 ABI) from pytorch.org and set LIBTORCH to its folder" >&2
			return 1
		fi
	fi

	# gotch links CUDA's libraries whatever the machine: an empty archive stands in for each that is not there.
	_engram_stubs=$(dirname "$_engram_here")/.build/stubs
	mkdir -p "$_engram_stubs" || return 1
	_engram_cuda=
	for _engram_name in cuda cudart cublas cudnn caffe2_nvrtc nvrtc-builtins nvrtc nvToolsExt c10_cuda torch_cuda; do
		if [ -e "$_engram_lib/lib$_engram_name.so" ] || [ -e "/usr/local/cuda/lib64/lib$_engram_name.so" ]; then
			rm -f "$_engram_stubs/lib$_engram_name.a"
			# Nothing names a symbol of torch_cuda; it registers its kernels when it is loaded.
			[ "$_engram_name" = torch_cuda ] && _engram_cuda="-Wl,--no-as-needed -ltorch_cuda -Wl,--as-needed"
		elif [ ! -e "$_engram_stubs/lib$_engram_name.a" ]; then
			ar rcs "$_engram_stubs/lib$_engram_name.a" || return 1
		fi
	done

	export CGO_ENABLED=1
	export CGO_CFLAGS="-O2 -g"
	export CGO_CXXFLAGS="-O2 -g -w -include $_engram_here/compat.h -I$_engram_include -I$_engram_include/torch/csrc/api/include"
	export CGO_LDFLAGS="-O2 -g -L$_engram_lib -L$_engram_stubs -Wl,-rpath,$_engram_lib $_engram_cuda"
}

_engram_env
_engram_status=$?
unset -f _engram_env
unset _engram_here _engram_include _engram_lib _engram_stubs _engram_cuda _engram_name _engram_dir
(exit $_engram_status)
