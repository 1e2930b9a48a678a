#!/usr/bin/env bash
# Makes Engram's set-up hold: Go, a C++ compiler, LibTorch, and a fast BLAS. Does nothing, quickly, where it does.
#
#	libtorch/install.sh            what building and running need
#	libtorch/install.sh --python   PyTorch too, for benchmarks and fixtures
#	libtorch/install.sh --paper    LaTeX too, for the report in paper/
#	libtorch/install.sh --browser  Chromium too, for the test of what engram report writes
#	libtorch/install.sh --lint     clang-format too, for make fmt and make lint
#
# LibTorch is looked for where env.sh looks, and is else installed with apt-get, as root or through sudo.
set -eu -o pipefail

here=$(CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")" && pwd)
say() { printf 'setup: %s\n' "$*"; }
die() {
	printf 'setup: %s\n' "$@" >&2
	exit 1
}

python= paper= browser= lint=
case ${1-} in
'') ;;
--python) python=yes ;;
--paper) paper=yes ;;
--browser) browser=yes ;;
--lint) lint=yes ;;
*) die "unknown argument $1; usage: libtorch/install.sh [--python | --paper | --browser | --lint]" ;;
esac

# From 1.21 on Go fetches the toolchain that go.mod asks for by itself, as it fetches modules; an older one cannot read
# go.mod. Debian 13's golang-go is 1.24, Debian 12's 1.19.
wanted="Engram needs Go $(sed -n 's/^go //p' "$here/../go.mod")"
too_old() {
	case $1 in
	1.[0-9] | 1.[0-9].* | 1.[0-9]~* | 1.1[0-9]* | 1.20*) return 0 ;;
	*) return 1 ;;
	esac
}
check_go() {
	local version said
	version=$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>&1) || die "$version"
	version=${version#go}
	if [ -z "$version" ] || too_old "$version"; then
		die "Go ${version:-on the PATH} is too old: $wanted, which 1.21 and later fetch by themselves; install it from go.dev/dl and put its bin folder first in PATH"
	fi
	said=$(cd "$here/.." && go version 2>&1) ||
		die "Go $version is older than wanted ($wanted) and cannot fetch that: $said"
}
# Called when the package lists are fresh, and Go is to be installed. Where the release's Go is too old, takes one from another
# release in APT's sources, such as Debian's backports.
install_newer_go() {
	local candidate version suite
	candidate=$(apt-cache policy golang-go | sed -n 's/^ *Candidate: *\([0-9]*:\)\{0,1\}//p')
	too_old "$candidate" || return 0
	# A line per version: package | version | address suite/component architecture Packages
	while IFS='| ' read -r _ version _ suite _; do
		if [ -n "$suite" ] && ! too_old "${version#*:}"; then
			say "installing golang-go ${version#*:} of ${suite%%/*}: this release's $candidate is too old"
			apt install -y --no-install-recommends -t "${suite%%/*}" golang-go || die "apt-get install failed; see above"
			return 0
		fi
	done < <(apt-cache madison golang-go)
	die "Go is not on the PATH, and this distribution's golang-go ($candidate) is too old: $wanted; add the distribution's backports to APT's sources and run this again, or install Go from go.dev/dl and add its bin folder to PATH"
}

# shellcheck source=/dev/null
env_sh() { . "$here/env.sh"; }

have_compiler() { command -v "${CXX:-g++}" >/dev/null; }
have_libtorch() { (env_sh) >/dev/null 2>&1; }
# Whether LibTorch is the distribution's, which calls the distribution's BLAS. Others bring their own.
uses_blas() { (env_sh && case $ENGRAM_LIBTORCH in *' of the distribution'*) ;; *) exit 1 ;; esac) >/dev/null 2>&1; }

# The library that serves BLAS's calls; Debian chooses among those installed by a link.
blas() {
	local lib
	uses_blas || return 0
	for lib in /usr/lib/*-linux-gnu/libblas.so.3 /usr/lib64/libblas.so.3 /usr/lib/libblas.so.3; do
		if [ -e "$lib" ]; then
			readlink -f "$lib"
			return 0
		fi
	done
}
reference_blas() {
	case $(blas) in
	*/blas/libblas.so.3*) ;;
	*) return 1 ;;
	esac
}
# Whoever has OpenBLAS and links to the reference BLAS all the same chose so.
have_blas() { ! reference_blas || compgen -G '/usr/lib/*/openblas-*/libblas.so.3' >/dev/null; }

have_python_torch() {
	local py
	for py in python3 /usr/bin/python3; do
		if command -v "$py" >/dev/null &&
			"$py" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' 2>/dev/null; then
			return 0
		fi
	done
	return 1
}

# The fonts of the drawings are Liberation's.
have_latex() {
	command -v pdflatex >/dev/null && command -v bibtex >/dev/null && command -v kpsewhich >/dev/null &&
		[ -n "$(kpsewhich booktabs.sty)" ] && [ -n "$(kpsewhich lmodern.sty)" ]
}
have_drawing() { command -v rsvg-convert >/dev/null && command -v fc-list >/dev/null && [ -n "$(fc-list 'Liberation Sans')" ]; }

have_browser() {
	local name
	for name in chromium chromium-browser google-chrome headless-shell; do
		if command -v "$name" >/dev/null; then return 0; fi
	done
	return 1
}

# missing fills packages with what is to be installed.
missing() {
	packages=()
	command -v go >/dev/null || packages+=(golang-go)
	have_compiler || packages+=(g++)
	command -v ar >/dev/null && command -v readelf >/dev/null || packages+=(binutils)
	if ! have_libtorch; then
		packages+=(libtorch-dev libopenblas0-pthread)
	elif ! have_blas; then
		packages+=(libopenblas0-pthread)
	fi
	if [ -n "$python" ]; then
		have_python_torch || packages+=(python3-torch)
	fi
	if [ -n "$paper" ]; then
		have_latex || packages+=(texlive-latex-recommended lmodern)
		have_drawing || packages+=(librsvg2-bin fontconfig fonts-liberation)
	fi
	if [ -n "$browser" ]; then
		have_browser || packages+=(chromium)
	fi
	if [ -n "$lint" ]; then
		command -v clang-format >/dev/null || packages+=(clang-format)
	fi
}

by_hand() {
	printf 'setup: %s\n' "$1" >&2
	cat >&2 <<-END

		missing: ${packages[*]}

		Debian 12 or 13 with root, or an administrator:
		    apt-get install ${packages[*]}
		No root, or another Linux: g++ and binutils, and the torch of pip in a virtual environment:
		    python3 -m venv torch && . torch/bin/activate && pip install torch
		    make setup
		or an unpacked LibTorch (docs/libtorch.md lists the versions that are tested):
		    export LIBTORCH=FOLDER
		    make setup
		macOS, Windows: a Debian container, virtual machine or WSL.
	END
	exit 1
}

# quietly runs a command and shows what it printed only if it fails.
quietly() {
	local log status=0
	log=$(mktemp)
	"$@" >"$log" 2>&1 </dev/null || status=$?
	[ "$status" = 0 ] || cat "$log" >&2
	rm -f "$log"
	return "$status"
}

apt() {
	quietly "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 \
		-o Dpkg::Use-Pty=0 "$@"
}

# APT waits for dpkg's lock, but not for the one on its lists.
apt_update() {
	local try
	say "reading the package lists"
	for try in 1 2 3 4 5; do
		if apt update 2>"$scratch"; then
			return 0
		elif [ "$try" = 5 ] || ! grep -q 'Could not get lock' "$scratch"; then
			cat "$scratch" >&2
			return 1
		fi
		say "another program is reading them; waiting"
		sleep 10
	done
}

install() {
	command -v apt-get >/dev/null || by_hand "this machine has no apt-get"
	if [ "$(id -u)" = 0 ]; then
		root=()
	elif ! command -v sudo >/dev/null; then
		by_hand "installing needs root, and there is no sudo"
	elif sudo -n true 2>/dev/null; then
		root=(sudo)
	elif [ -t 0 ]; then
		say "installing ${packages[*]} with sudo"
		sudo -v || by_hand "installing needs root, and sudo refuses"
		root=(sudo)
	else
		by_hand "installing needs root, and sudo would ask for a password without a terminal"
	fi

	scratch=$(mktemp)
	trap 'rm -f "$scratch"' EXIT
	local updated=
	for package in "${packages[@]}"; do
		if ! apt-cache show --no-all-versions "$package" >/dev/null 2>&1; then
			apt_update || die "apt-get update failed; see above"
			updated=yes
			break
		fi
	done
	for package in "${packages[@]}"; do
		apt-cache show --no-all-versions "$package" >/dev/null 2>&1 || by_hand "this distribution has no package $package"
	done
	case " ${packages[*]} " in *' golang-go '*) install_newer_go ;; esac
	say "installing ${packages[*]} (a minute or two)"
	if ! apt install -y --no-install-recommends "${packages[@]}" 2>"$scratch"; then
		# Old lists name files that the archive no longer has.
		if [ -n "$updated" ] || ! apt_update || ! apt install -y --no-install-recommends "${packages[@]}" 2>"$scratch"; then
			cat "$scratch" >&2
			die "apt-get install failed; see above"
		fi
	fi
}

! command -v go >/dev/null || check_go
# A LibTorch that is asked for by name is not installed.
case ${LIBTORCH:-} in '' | system) ;; *) (env_sh) || exit 1 ;; esac
missing
[ ${#packages[@]} != 0 ] || exit 0

install

check_go
have_compiler || die "there is still no ${CXX:-g++}"
(env_sh) || exit 1
if reference_blas; then
	say "BLAS is still the slow reference one, $(blas), as this machine is set; change that with: update-alternatives --config libblas.so.3-$(uname -m)-linux-gnu"
fi
if [ -n "$python" ]; then
	have_python_torch || die "python3 still has no torch"
fi
if [ -n "$paper" ]; then
	have_latex && have_drawing || die "there is still no pdflatex with booktabs and lmodern, or no rsvg-convert with Liberation Sans"
fi
say "done"
