#!/bin/bash
# Two switches, as far.sh draws them, joined by `ssh -w`, of an ordinary user
# here: he and sshd take TAPs that are there, and ports, as the README has it.
. "$(dirname "$0")/far.sh"

# sshd with users of its own: whose root may log in is no matter of the host's.
sshd_start() {
	cat >"$T/sshd_config" <<-END
		Port 2222
		ListenAddress $FAR_IP
		HostKey $T/host
		AuthorizedKeysFile $T/user.pub
		StrictModes no
		UsePAM no
		PermitRootLogin prohibit-password
		PermitTunnel ethernet
		ClientAliveInterval 1
		PidFile none
	END
	cat >"$T/passwd" <<-END
		root:x:0:0:root:$T:/bin/sh
		sshd:x:101:65534::/run/sshd:/bin/false
	END
	echo 'root:*:19000:0:99999:7:::' >"$T/shadow"
	# shellcheck disable=SC2016 # the inner shell's
	ns_background far unshare --mount sh -c 'mount -t tmpfs tmpfs /run &&
		mkdir /run/sshd && mount --bind "$1/passwd" /etc/passwd &&
		mount --bind "$1/shadow" /etc/shadow &&
		exec /usr/sbin/sshd -D -e -f "$1/sshd_config"' sh "$T"
	wait_until 10 listens far 2222
}

# tunnel: the README's ssh, as nobody, from a folder where his keys are; sets
# TUNNEL
tunnel() {
	local ssh
	ssh=$(readme_block 'ssh -N -o Tunnel=ethernet -w 7:7 root@192.0.2.2')
	# shellcheck disable=SC2086 # words
	as_user sw $ssh -F /dev/null -p 2222 -i "$USER_DIR/user" \
		-o UserKnownHostsFile="$USER_DIR/known" -o BatchMode=yes \
		-o ExitOnForwardFailure=yes -o ServerAliveInterval=1
	"${AS_USER[@]}" </dev/null >&2 &
	TUNNEL=$!
	lib_pids+=("$TUNNEL")
}

state_is() { # PORT STATE
	ctl_is ".state == \"$2\"" port show "$1"
}

both_start
user_dir
for key in host user; do
	ssh-keygen -q -t ed25519 -N '' -C '' -f "$T/$key"
done
install -o 65534 -m 600 "$T/user" "$USER_DIR"
echo "[$FAR_IP]:2222 $(<"$T/host.pub")" >"$USER_DIR/known"
sw_ip tuntap add tap7 mode tap user 65534
ctl port attach tunnel type=netdev ifname=tap7 uplink=yes >&2
far_tap
claim "a TAP that nobody has yet is a port" state_is tunnel no-carrier
sshd_start
tunnel
claim "ssh takes it, without any privilege" \
	wait_until 20 state_is tunnel up
claim "so does sshd" wait_until 10 far state_is tunnel up
crosses ssh tunnel tunnel
kill -KILL "$TUNNEL"
claim "ssh is killed: its port waits" wait_until 10 state_is tunnel no-carrier
claim "so does the other one" wait_until 20 far state_is tunnel no-carrier
tunnel
claim "it is started again: frames cross" wait_until 20 pings n1 10.0.0.3
claim "the ledgers close at the end" wait_until 5 ledgers_close
both_end
finish
