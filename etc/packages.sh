# shellcheck shell=bash
# shellcheck disable=SC2034 # the lists are for whoever sources this file
# What switchd needs of Debian 12, in one place: sourced by etc/quickstart and
# tests/run. One word a line.

packages_build=(
	autoconf
	automake
	bpftool
	build-essential
	clang
	libbpf-dev
	libevent-dev
	libjansson-dev
	libmnl-dev
	libpcap-dev
	libseccomp-dev
	pkg-config
)

# Taken where they are there; configure's summary says what they'd add.
packages_optional=(
	libglib2.0-dev
	libslirp-dev
	libvirt-dev
	libxml2-dev
)

packages_quickstart=(
	iproute2
	iputils-ping
)

# What every test runs in: tests/sandbox, and tests/run itself.
packages_tests=(
	iproute2
	procps
	util-linux
)

packages_unit=(
	libcmocka-dev
	libvirt-dev
	libxml2-dev
)

packages_sim=(
	libcmocka-dev
)

packages_e2e=(
	dnsmasq-base
	ethtool
	iperf3
	iputils-ping
	jq
	libglib2.0-dev
	libslirp-dev
	libvirt-dev
	libxml2-dev
	python3
	socat
	strace
	systemd
	tcpdump
	tshark
	udhcpc
	vde2
)

# tests/bench/run says what else it could compare with, and does without.
packages_bench=(
	busybox-static
	cpio
	dpdk-dev
	iperf3
	iproute2
	iputils-ping
	libglib2.0-dev
	liburcu-dev
	lz4
	openvswitch-switch
	python3
	qemu-system-x86
	uml-utilities
	user-mode-linux
	uthash-dev
	vde2
)

packages_guests=(
	binutils
	bochs
	bochsbios
	busybox-static
	cpio
	dnsmasq-base
	dpdk-dev
	iputils-ping
	jq
	kmod
	libglib2.0-dev
	librte-net-pcap23
	librte-net-virtio23
	libslirp-dev
	libvirt-clients
	libvirt-daemon
	libvirt-daemon-driver-qemu
	libvirt-dev
	libxml2-dev
	lz4
	python3
	qemu-system-x86
	socat
	user-mode-linux
)

packages_fuzz=(
	clang
	libclang-rt-14-dev
	llvm
)

packages_lint=(
	clang-format
	clang-tidy
	codespell
	cppcheck
	libcmocka-dev
	libglib2.0-dev
	libslirp-dev
	libvirt-dev
	libxml2-dev
	mandoc
	pkg-config
	python3
	shellcheck
)

# Prints those of the packages given that aren't installed.
packages_missing() {
	local p
	for p in "$@"; do
		# shellcheck disable=SC2016 # dpkg-query's own placeholders
		[[ $(dpkg-query -Wf '${db:Status-Status}' "$p" 2>/dev/null) == \
			installed ]] || echo "$p"
	done | sort -u
}

# Installs what is missing of the packages given. Touches neither apt nor the
# network where nothing is. Where it can't, says what is missing; returns 1.
packages_require() {
	local missing
	mapfile -t missing < <(packages_missing "$@")
	((${#missing[@]})) || return 0
	if ((EUID == 0)); then
		echo "installing: ${missing[*]}" >&2
		export DEBIAN_FRONTEND=noninteractive
		# The lists of a fresh machine are empty or old: once more with
		# new ones.
		packages_install "${missing[@]}" ||
			{ apt-get -qq update && packages_install "${missing[@]}"; } ||
			true
		mapfile -t missing < <(packages_missing "$@")
		((${#missing[@]})) || return 0
	fi
	echo "missing packages: ${missing[*]}" >&2
	echo "install them as root: apt-get install ${missing[*]}" >&2
	return 1
}

packages_install() {
	apt-get -qq install -y --no-install-recommends "$@" \
		</dev/null >/dev/null
}
