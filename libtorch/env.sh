# Tells the Go toolchain where LibTorch is and how gotch compiles and links against it. Source it (bash, zsh or sh):
#
#	. libtorch/env.sh && go build ./... && go test ./...
#
# LibTorch is, in this order,
#
#	1. what $LIBTORCH names: the folder of an unpacked LibTorch or of Python's torch package (include/ and lib/), or
#	   "system" for the distribution's package, or "python" for the torch of python3
#	2. the torch of the active virtual environment ($VIRTUAL_ENV, $CONDA_PREFIX)
#	3. the distribution's package
#	4. the torch of python3
#
# Where LibTorch is one for CUDA and CUDA's headers are there ($CUDA_HOME, /usr/local/cuda, or pip's beside torch), the build has
# CUDA graphs. $ENGRAM_CUDA=0 builds for the CPU against a LibTorch with CUDA; $ENGRAM_GOTCH=all builds all of gotch, for a module of
# your own that calls more of it. Sourcing the file twice does no harm. It returns non-zero, with one message, where there
# is no LibTorch. It sets ENGRAM_LIBTORCH to what it found, as one line for people.
# shellcheck shell=sh

# Go splits the flags at spaces: a folder with one in its name is quoted.
_engram_flag() {
	case $1 in
	*' '*) printf "'%s'" "$1" ;;
	*) printf '%s' "$1" ;;
	esac
}

# Whether a folder is a LibTorch to compile and link against.
_engram_usable() {
	[ -f "$1/include/torch/csrc/api/include/torch/version.h" ] &&
		{ [ -e "$1/lib/libtorch_cpu.so" ] || [ -e "$1/lib/libtorch_cpu.dylib" ]; }
}

# The folder of an interpreter's torch package, where that has headers and libraries. Importing torch would take seconds.
_engram_python() {
	_engram_root=$("$1" -c 'import sys; sys.path[:] = [p for p in sys.path if p]
import importlib.util
spec = importlib.util.find_spec("torch")
print(next(iter(spec.submodule_search_locations or []), "") if spec else "")' 2>/dev/null)
	[ -n "$_engram_root" ] && _engram_usable "$_engram_root"
}

_engram_environment() {
	for _engram_name in "${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}"; do
		if [ -n "$_engram_name" ] && _engram_python "$_engram_name/bin/python"; then
			return 0
		fi
	done
	return 1
}

_engram_system() {
	_engram_include=/usr/include
	# A name with a * that matches nothing ends a zsh function, so find looks for the folder.
	_engram_lib=$(find /usr/lib /usr/lib64/ -maxdepth 2 -name libtorch_cpu.so 2>/dev/null | sort | head -n 1)
	_engram_lib=${_engram_lib%/*}
	[ -n "$_engram_lib" ] && [ -f /usr/include/torch/csrc/api/include/torch/version.h ]
}

# Sets _engram_include, _engram_lib and _engram_why.
_engram_find() {
	_engram_root=''
	case ${LIBTORCH:-} in
	'')
		if _engram_environment; then
			_engram_why="of the active virtual environment"
		elif _engram_system; then
			_engram_why="of the distribution"
			return 0
		elif _engram_python python3; then
			_engram_why="of python3"
		else
			echo "libtorch/env.sh: no LibTorch found; run 'make setup' (Debian, Ubuntu), activate a virtual environment with torch, or set LIBTORCH to the folder of an unpacked LibTorch" >&2
			return 1
		fi
		;;
	system)
		_engram_why="of the distribution"
		_engram_system && return 0
		echo "libtorch/env.sh: LIBTORCH=system, but the distribution's LibTorch is not installed; run 'make setup' (Debian, Ubuntu)" >&2
		return 1
		;;
	python)
		_engram_why="of python3"
		if ! _engram_environment && ! _engram_python python3; then
			echo "libtorch/env.sh: LIBTORCH=python, but python3 has no torch with headers; pip install torch, or unset LIBTORCH" >&2
			return 1
		fi
		;;
	*)
		_engram_why="that LIBTORCH names"
		_engram_root=$(CDPATH='' cd -- "$LIBTORCH" 2>/dev/null && pwd)
		if [ -z "$_engram_root" ] || ! _engram_usable "$_engram_root"; then
			echo "libtorch/env.sh: LIBTORCH=$LIBTORCH holds no include/torch/csrc/api/include/torch/version.h or no lib/libtorch_cpu.so; set it to the folder an unpacked LibTorch makes, or unset it to use the distribution's package" >&2
			return 1
		fi
		;;
	esac
	_engram_include=$_engram_root/include
	_engram_lib=$_engram_root/lib
}

# Sets _engram_headers to the include flags of CUDA's headers, for CUDA graphs; empty where they are not there. pip puts what
# they include into a package of its own.
_engram_cuda_headers() {
	_engram_headers=''
	_engram_packages=${_engram_root%/*}/nvidia
	for _engram_name in "${CUDA_HOME:-}/include" /usr/local/cuda/include "$_engram_packages/cuda_runtime/include" "$_engram_packages/cu13/include"; do
		[ -f "$_engram_name/cuda_runtime_api.h" ] || continue
		for _engram_crt in "$_engram_name" "$_engram_packages/cuda_nvcc/include"; do
			if [ -f "$_engram_crt/crt/host_defines.h" ]; then
				_engram_headers="$(_engram_flag "-I$_engram_name") $(_engram_flag "-I$_engram_crt")"
				return 0
			fi
		done
	done
}

# The LibTorch headers that gotch includes; see gotch.h.
_engram_shadow() {
	for _engram_name in ATen/autocast_mode.h ATen/core/interned_strings.h torch/csrc/autograd/engine.h \
		torch/csrc/jit/passes/fixup_trace_scope_blocks.h torch/csrc/jit/passes/normalize_ops.h \
		torch/csrc/jit/runtime/graph_executor.h torch/script.h torch/torch.h; do
		mkdir -p "$1/${_engram_name%/*}" &&
			printf '#ifndef ENGRAM_GOTCH_WITHOUT_BODIES\n#include_next <%s>\n#endif\n' "$_engram_name" >"$1/$_engram_name" || return 1
	done
}

# Fills the folder $1 with what compiling and linking need beside LibTorch.
_engram_fill() {
	cp "$_engram_here/gotch.h" "$_engram_here/compat.h" "$1/" && _engram_shadow "$1/include" || return 1
	# gotch links CUDA's libraries whatever the machine, and libtorch.so, which needs them where it was built with them.
	# Empty archives stand in their place: LibTorch loads what it needs, and nothing here names a symbol of theirs.
	for _engram_name in torch cuda cudart cublas cudnn caffe2_nvrtc nvrtc-builtins nvrtc nvToolsExt; do
		ar rcs "$1/lib$_engram_name.a" || return 1
	done
	if [ -z "$_engram_cuda" ]; then
		ar rcs "$1/libc10_cuda.a" && ar rcs "$1/libtorch_cuda.a" || return 1
	fi

	# The OpenMP library that LibTorch was linked with must be ours too, or the thread count does not reach it. Wheels and
	# unpacked LibTorches carry their own, under a name that -lgomp does not find.
	if [ -n "$_engram_omp" ]; then
		ln -s "$_engram_lib/$_engram_omp" "$1/libgomp.so" || return 1
	fi

	# gotch's own -std comes last, after what CGO_CXXFLAGS says.
	cat >"$1/engram-cxx" <<-END && chmod +x "$1/engram-cxx"
		#!/bin/sh
		for arg; do
			shift
			case \$arg in -std=c++17) arg=-std=$_engram_std ;; esac
			set -- "\$@" "\$arg"
		done
		exec ${CXX:-g++} "\$@"
	END
}

_engram_env() {
	# This file's folder: bash and zsh know it; a plain sh must be at the top of the checkout.
	_engram_here=libtorch
	# shellcheck disable=SC3028,SC3054 # only bash comes here
	if [ -n "${BASH_SOURCE:-}" ]; then
		_engram_here=$(dirname "${BASH_SOURCE:-}")
	elif [ -n "${ZSH_VERSION:-}" ]; then
		_engram_here=$(eval 'dirname "${(%):-%x}"')
	fi
	_engram_here=$(CDPATH='' cd -- "$_engram_here" 2>/dev/null && pwd)
	if [ ! -f "$_engram_here/compat.h" ]; then
		echo "libtorch/env.sh: cannot tell where the checkout is; source it from its top folder: . libtorch/env.sh" >&2
		return 1
	fi
	case ${CXX:-} in */engram-cxx) unset CXX ;; esac

	_engram_find || return 1

	# 2.14 and later keep the numbers in another file.
	_engram_version=$(sed -n 's/^#define TORCH_VERSION_\(MAJOR\|MINOR\|PATCH\) *\([0-9][0-9]*\).*/\2/p' \
		"$_engram_include/torch/csrc/api/include/torch/version.h" "$_engram_include/torch/headeronly/version.h" 2>/dev/null |
		head -n 3 | paste -s -d . -)

	# The headers refuse an older standard than they need.
	_engram_std=c++17
	case $(sed -n 's/.*__cplusplus < \([0-9]*\)L.*/\1/p' "$_engram_include/ATen/ATen.h" | head -n 1) in
	201103 | 201402 | 201703 | '') ;;
	202002) _engram_std=c++20 ;;
	*) _engram_std=c++23 ;;
	esac

	# Wheels up to 2.6 have the C++ ABI from before C++11; the constructor of its error class tells.
	# grep -q would end before nm, which is a failure under pipefail.
	_engram_abi=''
	if nm -D "$_engram_lib/libc10.so" 2>/dev/null | grep '_ZN3c105ErrorC1ENS_14SourceLocationESs$' >/dev/null; then
		_engram_abi='-D_GLIBCXX_USE_CXX11_ABI=0'
	fi

	_engram_omp=$(readelf -d "$_engram_lib/libtorch_cpu.so" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(lib\(gomp\|iomp5\|omp\)[-.].*\)\]$/\1/p' | head -n 1)
	[ -n "$_engram_omp" ] && [ -n "$_engram_root" ] && [ -e "$_engram_lib/$_engram_omp" ] || _engram_omp=''

	# Nothing names a symbol of torch_cuda; it registers its kernels when it is loaded.
	_engram_cuda=''
	if [ "${ENGRAM_CUDA:-1}" != 0 ] && [ -e "$_engram_lib/libtorch_cuda.so" ]; then
		_engram_cuda='-Wl,--no-as-needed -ltorch_cuda -Wl,--as-needed'
	fi
	_engram_headers=''
	if [ -n "$_engram_cuda" ] && [ -f "$_engram_include/ATen/cuda/CUDAGraph.h" ]; then
		_engram_cuda_headers
	fi

	# Go keys its build cache by the flags and does not look into what they name. So all that they name lies in a folder
	# whose name tells its content and the LibTorch that it is for, down to the libraries' sizes: where one of these changes,
	# also by an upgrade in place, all C++ is compiled anew; another checkout with the same content compiles nothing.
	_engram_home=${XDG_CACHE_HOME:-$HOME/.cache}/engram/libtorch-$_engram_version-$({
		cat "$_engram_here/gotch.h" "$_engram_here/compat.h"
		sed -n '/^_engram_shadow()/,/^}/p; /^_engram_fill()/,/^}/p' "$_engram_here/env.sh"
		echo "$_engram_lib|$_engram_std|$_engram_abi|$_engram_omp|$_engram_cuda|${CXX:-}"
		find -L "$_engram_lib" -maxdepth 1 \( -name 'libtorch_cpu.*' -o -name 'libc10.*' \) -exec ls -ln {} + 2>/dev/null | awk '{ print $5 }'
	} | cksum | cut -d ' ' -f 1)
	if [ ! -d "$_engram_home" ]; then
		mkdir -p "${_engram_home%/*}" && rm -rf "$_engram_home.$$" && mkdir "$_engram_home.$$" &&
			_engram_fill "$_engram_home.$$" && { mv "$_engram_home.$$" "$_engram_home" 2>/dev/null || [ -d "$_engram_home" ]; } || return 1
		rm -rf "$_engram_home.$$" "$_engram_home/${_engram_home##*/}.$$"
	fi

	# Without the checkout's path in it, what is compiled of C++ serves every clone.
	GOFLAGS=$(go env GOFLAGS 2>/dev/null)
	case " $GOFLAGS " in *" -trimpath "*) ;; *) GOFLAGS="${GOFLAGS:+$GOFLAGS }-trimpath" ;; esac
	export GOFLAGS
	export CGO_ENABLED=1
	CGO_CFLAGS="-O2 -include $(_engram_flag "$_engram_home/gotch.h")"
	CGO_CXXFLAGS="$CGO_CFLAGS -w -std=$_engram_std $_engram_abi"
	if [ -n "$_engram_headers" ]; then
		CGO_CXXFLAGS="$CGO_CXXFLAGS -DENGRAM_CUDA_GRAPHS"
	fi
	if [ "${ENGRAM_GOTCH:-}" = all ]; then
		CGO_CXXFLAGS="$CGO_CXXFLAGS -DENGRAM_GOTCH_ALL"
		if [ "$_engram_std" != c++17 ]; then
			export CXX="$_engram_home/engram-cxx"
		fi
	fi
	CGO_CXXFLAGS="$CGO_CXXFLAGS $(_engram_flag "-I$_engram_home/include")"
	CGO_CXXFLAGS="$CGO_CXXFLAGS $(_engram_flag "-I$_engram_include") $(_engram_flag "-I$_engram_include/torch/csrc/api/include") $_engram_headers"
	CGO_LDFLAGS="-O2 $(_engram_flag "-L$_engram_home") $(_engram_flag "-L$_engram_lib") $(_engram_flag "-Wl,-rpath,$_engram_lib") $_engram_cuda"
	export CGO_CFLAGS CGO_CXXFLAGS CGO_LDFLAGS
	export ENGRAM_LIBTORCH_HOME="$_engram_home"
	export ENGRAM_LIBTORCH="LibTorch $_engram_version $_engram_why ($_engram_lib)"
}

_engram_status=0
_engram_env || _engram_status=$?
unset -f _engram_env _engram_flag _engram_usable _engram_python _engram_environment _engram_system _engram_find _engram_shadow _engram_fill _engram_cuda_headers
unset _engram_here _engram_root _engram_include _engram_lib _engram_home _engram_cuda _engram_name _engram_why _engram_version \
	_engram_std _engram_abi _engram_omp _engram_headers _engram_packages _engram_crt
eval "unset _engram_status; (exit $_engram_status)"
