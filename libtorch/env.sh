# Tells the Go toolchain where LibTorch is and how gotch compiles and links against it. Source it (bash, zsh or sh):
#
#	. libtorch/env.sh && go build ./... && go test ./...
#
# LibTorch is taken from $LIBTORCH (an unpacked LibTorch: include/ and lib/), else from the distribution's package.
# Sourcing it twice does no harm. It returns non-zero, with one message, where there is no LibTorch.
# shellcheck shell=sh

# Go splits the flags at spaces: a folder with one in its name is quoted.
_engram_flag() {
	case $1 in
	*' '*) printf "'%s'" "$1" ;;
	*) printf '%s' "$1" ;;
	esac
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

	_engram_include='' _engram_lib=''
	if [ -n "${LIBTORCH:-}" ]; then
		_engram_root=$(CDPATH='' cd -- "$LIBTORCH" 2>/dev/null && pwd)
		_engram_include=$_engram_root/include
		_engram_lib=$_engram_root/lib
		if [ -z "$_engram_root" ] || [ ! -f "$_engram_include/torch/csrc/api/include/torch/version.h" ] ||
			{ [ ! -e "$_engram_lib/libtorch_cpu.so" ] && [ ! -e "$_engram_lib/libtorch_cpu.dylib" ]; }; then
			echo "libtorch/env.sh: LIBTORCH=$LIBTORCH holds no include/torch/csrc/api/include/torch/version.h or no lib/libtorch_cpu.so; set it to the folder an unpacked LibTorch makes, or unset it to use the distribution's package" >&2
			return 1
		fi
	else
		_engram_include=/usr/include
		# A name with a * that matches nothing ends a zsh function, so find looks for the folder.
		_engram_lib=$(find /usr/lib /usr/lib64/ -maxdepth 2 -name libtorch_cpu.so 2>/dev/null | sort | head -n 1)
		_engram_lib=${_engram_lib%/*}
		if [ -z "$_engram_lib" ] || [ ! -f /usr/include/torch/csrc/api/include/torch/version.h ]; then
			echo "libtorch/env.sh: no LibTorch found; run 'make setup' (Debian, Ubuntu), or unpack LibTorch 2.1 (cxx11 ABI) from pytorch.org and set LIBTORCH to its folder" >&2
			return 1
		fi
	fi

	# Go keys its build cache by the flags and does not look into a header that they name. So the header lies in a folder
	# named after its checksum and the LibTorch that it is for: a change of either compiles gotch anew, another checkout
	# does not.
	_engram_home=${XDG_CACHE_HOME:-$HOME/.cache}/engram/libtorch-$({ cat "$_engram_here/compat.h" && echo "$_engram_lib"; } | cksum | cut -d ' ' -f 1)
	mkdir -p "$_engram_home" || return 1
	if ! cmp -s "$_engram_here/compat.h" "$_engram_home/compat.h"; then
		cp "$_engram_here/compat.h" "$_engram_home/compat.h.$$" && mv "$_engram_home/compat.h.$$" "$_engram_home/compat.h" || return 1
	fi

	# gotch links CUDA's libraries whatever the machine: an empty archive stands in for each that is not there.
	_engram_cuda=''
	for _engram_name in cuda cudart cublas cudnn caffe2_nvrtc nvrtc-builtins nvrtc nvToolsExt c10_cuda torch_cuda; do
		if [ -e "$_engram_lib/lib$_engram_name.so" ] || [ -e "/usr/local/cuda/lib64/lib$_engram_name.so" ]; then
			rm -f "$_engram_home/lib$_engram_name.a"
			# Nothing names a symbol of torch_cuda; it registers its kernels when it is loaded.
			[ "$_engram_name" = torch_cuda ] && _engram_cuda="-Wl,--no-as-needed -ltorch_cuda -Wl,--as-needed"
		elif [ ! -e "$_engram_home/lib$_engram_name.a" ]; then
			ar rcs "$_engram_home/lib$_engram_name.a" || return 1
		fi
	done

	# Without the checkout's path in it, what is compiled of C++ serves every clone.
	GOFLAGS=$(go env GOFLAGS 2>/dev/null)
	case " $GOFLAGS " in *" -trimpath "*) ;; *) GOFLAGS="${GOFLAGS:+$GOFLAGS }-trimpath" ;; esac
	export GOFLAGS
	export CGO_ENABLED=1
	export CGO_CFLAGS="-O2 -g"
	CGO_CXXFLAGS="-O2 -g -w -include $(_engram_flag "$_engram_home/compat.h")"
	CGO_CXXFLAGS="$CGO_CXXFLAGS $(_engram_flag "-I$_engram_include") $(_engram_flag "-I$_engram_include/torch/csrc/api/include")"
	CGO_LDFLAGS="-O2 -g $(_engram_flag "-L$_engram_lib") $(_engram_flag "-L$_engram_home") $(_engram_flag "-Wl,-rpath,$_engram_lib") $_engram_cuda"
	export CGO_CXXFLAGS CGO_LDFLAGS
}

_engram_status=0
_engram_env || _engram_status=$?
unset -f _engram_env _engram_flag
unset _engram_here _engram_root _engram_include _engram_lib _engram_home _engram_cuda _engram_name
eval "unset _engram_status; (exit $_engram_status)"
