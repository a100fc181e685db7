# shellcheck shell=bash
# How a folder for a build is made; sourced by etc/quickstart and tests/run.

# configure_is_fresh TREE: is its configure newer than what it is made from?
configure_is_fresh() {
	[[ -x $1/configure && -e $1/Makefile.in ]] || return 1
	[[ -z $(find "$1" \( -name .git -o -name '.build*' \) -prune -o \
		\( -name configure.ac -o -name Makefile.am -o -name local.mk \) \
		-newer "$1/configure" -print -quit) ]]
}
