/* `tap` ports: what acquire, adjust and release do, and frames through them. */
#include "tests/e2e/ports_kernel.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void new_device(void)
{
	struct netlink_link link;
	struct end e;

	end_tap(&e, "pk0");
	e.rq.mtu = 1600;
	strcpy(e.rq.tap.owner, "1234");
	strcpy(e.rq.tap.group, "2345");
	e.rq.tap.mac = 0x020000005f01;
	strcpy(e.rq.tap.address, "10.77.0.1/24");
	ok_if(end_attach(&e), "a TAP that isn't there is made");
	link = link_facts("pk0");
	ok_if(link.up && link.carrier && link.is_tap,
	      "it's a TAP, up, with carrier");
	ok_if(link.mtu == 1600 && e.grant.mtu == 1600, "it has the MTU");
	ok_if(link.mac == 0x020000005f01 && e.grant.mac == link.mac,
	      "it has the hardware address");
	ok_if(link.ifindex == e.grant.ifindex, "the grant has its ifindex");
	ok_if(sh("ip -o -d link show pk0 | grep -q 'user 1234 group 2345'"),
	      "it has owner and group");
	ok_if(sh("ip -o addr show pk0 | grep -q 'inet 10.77.0.1/24 '"),
	      "it has the address");
	ok_if((e.grant.tx_offloads &
	       (PORT_TX_CSUM | PORT_TX_TSO4 | PORT_TX_TSO6 | PORT_TX_ECN)) ==
		      (PORT_TX_CSUM | PORT_TX_TSO4 | PORT_TX_TSO6 |
		       PORT_TX_ECN),
	      "it takes partial checksums and super-frames");
	end_detach(&e);
	ok_if(!link_facts("pk0").ifindex, "it goes with its port");

	end_tap(&e, "");
	strcpy(e.rq.tap.address, "fd77::1/64");
	ok_if(end_attach(&e) &&
		      link_facts(e.grant.ifname).ifindex == e.grant.ifindex,
	      "without a name the kernel chooses one (%s)", e.grant.ifname);
	ok_if(sh("ip -o addr show %s | grep -q 'inet6 fd77::1/64 '",
		 e.grant.ifname),
	      "an IPv6 address is set");
	end_detach(&e);
}

static void existing_device(void)
{
	struct netlink_link before, link;
	struct end e;

	end_tap(&e, "pk1");
	e.rq.tap.persist = true;
	ok_if(end_attach(&e), "persist=yes makes a TAP");
	end_detach(&e);
	ok_if(link_facts("pk1").ifindex, "it outlives its port");

	sh("ip link set pk1 down mtu 1400");
	before = link_facts("pk1");
	end_tap(&e, "pk1");
	e.rq.mtu = 1500;
	e.rq.tap.mac = 0x020000005f02;
	strcpy(e.rq.tap.address, "10.77.1.1/24");
	ok_if(end_attach(&e) && e.grant.ifindex == before.ifindex,
	      "a persistent TAP is attached to");
	link = link_facts("pk1");
	ok_if(link.up && link.mtu == 1500 && link.mac == 0x020000005f02,
	      "it's set up as asked for");
	end_detach(&e);
	link = link_facts("pk1");
	ok_if(link.ifindex == before.ifindex, "it's still there afterwards");
	ok_if(!link.up && link.mtu == 1400 && link.mac == before.mac,
	      "flags, MTU and hardware address are as they were");
	ok_if(sh("! ip -o addr show pk1 | grep -q 'inet '"),
	      "the address is removed");

	strcpy(e.rq.tap.address, "10.77.1.1/33");
	ok_if(end_refused(&e, EINVAL, "bad-address", "10.77.1.1/33"),
	      "a bad address is refused");
	link = link_facts("pk1");
	ok_if(!link.up && link.mtu == 1400 && link.mac == before.mac,
	      "after a refusal the device is as it was");
	sh("ip link del pk1");
}

static void refusals(void)
{
	struct end e;
	int fd;

	fd = guest_open("pk2", 0, 0);
	end_tap(&e, "pk2");
	ok_if(end_refused(&e, EBUSY, "device-busy", "netdev"),
	      "a TAP that is held says so, and names the type netdev");
	close(fd);

	sh("ip link add pk2 type bridge");
	ok_if(end_refused(&e, EINVAL, "not-a-tap", "bridge"),
	      "a device of another kind is not-a-tap");
	sh("ip link del pk2; ip tuntap add pk2 mode tun");
	ok_if(end_refused(&e, EINVAL, "not-a-tap", "tun"),
	      "a TUN is not-a-tap");
	sh("ip link del pk2; ip tuntap add pk2 mode tap multi_queue");
	ok_if(end_refused(&e, EINVAL, "multi-queue", "multi_queue"),
	      "a multi-queue TAP is refused with its reason");
	sh("ip link del pk2");

	end_tap(&e, "a/b");
	ok_if(end_refused(&e, EINVAL, "bad-ifname", "a/b"),
	      "an impossible name is refused");
	end_tap(&e, "pk2");
	e.rq.mtu = PORT_MTU_MAX;
	e.rq.tap.persist = true;
	ok_if(end_refused(&e, EINVAL, "bad-mtu", "65535"),
	      "an MTU that the device can't have is refused");
	ok_if(!link_facts("pk2").ifindex, "a refusal leaves no device behind");
	end_tap(&e, "pk2");
	e.rq.tap.mac = 0x010000000001;
	ok_if(end_refused(&e, EINVAL, "bad-mac", "group"),
	      "a group address is refused");
	end_tap(&e, "pk2");
	strcpy(e.rq.tap.netns, "pknothere");
	ok_if(end_refused(&e, ENOENT, "no-such-netns", "pknothere"),
	      "a namespace that isn't there is refused");
	end_tap(&e, "pk2");
	strcpy(e.rq.tap.netns, "/proc/self/ns/uts");
	ok_if(end_refused(&e, EINVAL, "netns", "no network namespace"),
	      "a namespace of another kind is refused");
	sh("mkfifo /run/netns/pkfifo");
	end_tap(&e, "pk2");
	strcpy(e.rq.tap.netns, "pkfifo");
	ok_if(end_refused(&e, EINVAL, "netns", "no network namespace"),
	      "a FIFO as a namespace is refused, and nobody waits for it");
	sh("rm /run/netns/pkfifo");
}

/* In a child without privilege: is `e` acquired, or refused for that? */
static bool as_nobody(struct end *e, bool allowed)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		bool good;

		if (setgid(65534) || setuid(65534))
			_exit(2);
		if (allowed) {
			good = end_attach(e);
			if (good)
				end_detach(e);
		} else {
			good = end_refused(e, EPERM, "not-permitted",
					   "CAP_NET_ADMIN");
		}
		fflush(stdout);
		_exit(!good);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void without_privilege(void)
{
	struct end e;

	/* A device node that anybody may open, in our mount namespace. */
	sh("mknod -m 0666 /run/netns/tun c 10 200 &&"
	   "mount --bind /run/netns/tun /dev/net/tun");
	end_tap(&e, "pk3");
	ok_if(as_nobody(&e, false), "without privilege no TAP is made");
	sh("ip tuntap add pk3 mode tap user 1; ip link set pk3 up");
	ok_if(as_nobody(&e, false), "somebody else's TAP is refused");
	sh("ip link del pk3; ip tuntap add pk3 mode tap user 65534;"
	   "ip link set pk3 up");
	ok_if(as_nobody(&e, true), "its owner attaches without privilege");
	sh("ip link del pk3");
}

static void carrier(void)
{
	struct end e;

	end_tap(&e, "pk4");
	e.rq.enabled = false;
	ok_if(end_attach(&e) && !link_facts("pk4").carrier &&
		      link_facts("pk4").up,
	      "enabled=no: the device is up without carrier");
	e.rq.enabled = true;
	e.rq.mtu = 9000;
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err) &&
		      link_facts("pk4").carrier,
	      "enabled=yes gives it carrier");
	ok_if(link_facts("pk4").mtu == 9000 && e.grant.mtu == 9000,
	      "adjust changes the MTU");
	e.rq.enabled = false;
	e.rq.mtu = PORT_MTU_MAX;
	ok_if(e.ops->adjust(&e.rq, &e.grant, &e.err) < 0 &&
		      link_facts("pk4").carrier && e.grant.carrier &&
		      link_facts("pk4").mtu == 9000 && e.grant.mtu == 9000,
	      "an MTU that's refused leaves carrier and MTU");
	e.rq.mtu = 0;
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err) &&
		      !link_facts("pk4").carrier &&
		      link_facts("pk4").mtu == 1500 && e.grant.mtu == 1500,
	      "an MTU that's taken back is what the device had before");
	end_detach(&e);
}

static void handover(void)
{
	struct end e;

	end_tap(&e, "pk5");
	e.rq.tap.handover = true;
	ok_if(!end_acquire(&e) && e.grant.nfds == 1 && !link_facts("pk5").up,
	      "a TAP for another program is left down");
	ok_if(!e.ops->open(&e.rq, &e.grant, &e.err) &&
		      !strcmp(e.err.reason, "handed-over"),
	      "it can't be opened here");
	e.ops->release(&e.rq, &e.grant);
}

static void other_namespace(void)
{
	struct end e;

	end_tap(&e, "pk6");
	strcpy(e.rq.tap.netns, OTHER_NS);
	strcpy(e.rq.tap.address, "10.77.2.1/24");
	ok_if(end_attach(&e) && !link_facts("pk6").ifindex,
	      "netns=: the device isn't here");
	ok_if(sh("ip -n " OTHER_NS " -o addr show pk6 | "
		 "grep -q 'inet 10.77.2.1/24 '"),
	      "netns=: it's there, with its address");
	e.rq.mtu = 1300;
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err) &&
		      sh("ip -n " OTHER_NS " -o link show pk6 | "
			 "grep -q 'mtu 1300 '"),
	      "netns=: adjust reaches it there");
	end_detach(&e);
	ok_if(sh("! ip -n " OTHER_NS " link show pk6 2>/dev/null"),
	      "netns=: it goes with its port");

	sh("ip -n " OTHER_NS " tuntap add pk6 mode tap;"
	   "ip -n " OTHER_NS " link set pk6 mtu 1400");
	end_tap(&e, "pk6");
	strcpy(e.rq.tap.netns, "/run/netns/" OTHER_NS);
	e.rq.mtu = 1450;
	ok_if(end_attach(&e), "netns= takes a path as well");
	end_detach(&e);
	ok_if(sh("ip -n " OTHER_NS " -o link show pk6 | grep -q 'mtu 1400 '"),
	      "netns=: what was there is put back");
	sh("ip -n " OTHER_NS " link del pk6");
}

void test_tap(void)
{
	new_device();
	existing_device();
	refusals();
	without_privilege();
	carrier();
	handover();
	other_namespace();
}

/* ---- frames ------------------------------------------------------------- */

struct ns_socket {
	int domain, type, protocol;
};

static int ns_socket_make(void *arg)
{
	const struct ns_socket *s = arg;
	int fd = socket(s->domain, s->type | SOCK_CLOEXEC | SOCK_NONBLOCK,
			s->protocol);

	return fd < 0 ? -errno : fd;
}

/* A socket that lives in the other namespace. */
static int other_socket(int domain, int type, int protocol)
{
	struct ns_socket s = { domain, type, protocol };
	int ns = netlink_netns_open(OTHER_NS), fd;

	fd = netlink_in_netns(ns, ns_socket_make, &s);
	close(ns);
	return fd;
}

static void moved_device(void)
{
	struct frame *f;
	struct end e;

	end_tap(&e, "pk7");
	if (!end_attach(&e))
		return;
	sh("ip link set pk7 netns " OTHER_NS " name pkmoved;"
	   "ip -n " OTHER_NS " link set pkmoved up");
	/* ARP each way: the ping finds no answer in time, and needn't. */
	sh("ip -n " OTHER_NS " addr add 10.77.3.1/24 dev pkmoved;"
	   "ip netns exec " OTHER_NS " ping -c1 -W1 10.77.3.2 >/dev/null 2>&1");
	f = end_rx_type(&e, 0x0806);
	ok_if(f != NULL, "moved to another namespace its frames arrive");
	if (f) {
		/* Answer the request: the kernel learns the address. */
		memcpy(f->data, f->data + 6, 6);
		mac_store(f->data + 6, 0x020000005e02);
		memmove(f->data + 32, f->data + 22, 10);
		mac_store(f->data + 22, 0x020000005e02);
		store_be32(f->data + 28, 0x0a4d0302); /* 10.77.3.2 */
		store_be16(f->data + 20, 2);
		ok_if(end_tx(&e, f) == DROP_REASON_COUNT &&
			      sh("ip -n " OTHER_NS
				 " neigh show dev pkmoved | grep -q "
				 "'10.77.3.2 lladdr 02:00:00:00:5e:02'"),
		      "moved to another namespace it's sent to");
	}
	e.rq.mtu = 1234;
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err) &&
		      sh("ip -n " OTHER_NS " -o link show pkmoved | "
			 "grep -q 'mtu 1234 '"),
	      "moved and renamed, adjust still finds it");
	ok_if(!strcmp(e.grant.ifname, "pkmoved"), "the grant has the new name");
	end_detach(&e);
}

static void down_and_gone(void)
{
	struct end e;

	end_tap(&e, "pk8");
	if (!end_attach(&e))
		return;
	ok_if(end_tx(&e, lab_frame(60, 1)) == DROP_REASON_COUNT,
	      "a frame goes to a device that's up");
	sh("ip link set pk8 down");
	ok_if(end_tx(&e, lab_frame(60, 1)) == DROP_LINK_DOWN,
	      "a frame to a device that's down is dropped: link-down");
	while (end_rx(&e, 0))
		;
	ok_if(!atomic_load(&e.port->failed), "down isn't failed");
	sh("ip link del pk8");
	end_rx(&e, DEADLINE_MS);
	ok_if(atomic_load(&e.port->failed) == EBADFD,
	      "a deleted device fails its port");
	ok_if(end_tx(&e, lab_frame(60, 1)) == DROP_LINK_DOWN,
	      "a frame to a deleted device is dropped: link-down");
	end_detach(&e);
}

#define STREAM_BYTES (1u << 20)

struct relay {
	struct end *a, *b;
	unsigned int super, partial; /* frames seen */
};

/* One burst from one port to the other, as it came. */
static void relay_burst(struct relay *r, struct end *from, struct end *to)
{
	unsigned int n = end_rx(from, 0);

	for (unsigned int i = 0; i < n; i++) {
		r->super +=
			from->f[i].vnet.gso_type == VIRTIO_NET_HDR_GSO_TCPV4 &&
			from->f[i].len > 1514;
		r->partial +=
			from->f[i].vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
		(void)end_tx(to, &from->f[i]);
	}
}

/* The stream: STREAM_BYTES of noise. */
static uint8_t noise[STREAM_BYTES];

/* Push the noise through out -> in while relaying; does it come through? */
static bool stream(struct relay *r, int listener, int out)
{
	uint64_t deadline = clock_ns() + 10 * CLOCK_NS_PER_S;
	size_t sent = 0, got = 0;
	uint8_t buf[65536];
	int in = -1;

	while (got < STREAM_BYTES && clock_ns() < deadline) {
		ssize_t n;

		relay_burst(r, r->a, r->b);
		relay_burst(r, r->b, r->a);
		n = send(out, noise + sent, STREAM_BYTES - sent, MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		if (in < 0)
			in = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		n = in < 0 ? 0 : recv(in, buf, sizeof(buf), 0);
		if (n <= 0)
			continue;
		if (got + (size_t)n > STREAM_BYTES ||
		    memcmp(noise + got, buf, (size_t)n))
			break;
		got += (size_t)n;
	}
	close(in);
	return got == STREAM_BYTES;
}

void stream_across(struct end *a, struct end *b, const char *what)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(7777) };
	int listener = other_socket(AF_INET, SOCK_STREAM, 0);
	int out = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct relay r = { .a = a, .b = b };
	int yes = 1;

	for (uint32_t i = 0; i < STREAM_BYTES; i++)
		noise[i] = (uint8_t)(i * 2654435761u >> 24);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	inet_pton(AF_INET, STREAM_TO, &to.sin_addr);
	if (bind(listener, (struct sockaddr *)&to, sizeof(to)) ||
	    listen(listener, 1))
		perror("listen");
	(void)connect(out, (struct sockaddr *)&to, sizeof(to));
	ok_if(stream(&r, listener, out), "a TCP stream crosses two %s unharmed",
	      what);
	ok_if(r.super > 0, "%s: as super-frames (%u)", what, r.super);
	ok_if(r.partial > 0, "%s: with partial checksums (%u)", what,
	      r.partial);
	close(out);
	close(listener);
}

static void super_frames(void)
{
	struct end a, b;

	end_tap(&a, "pk9");
	strcpy(a.rq.tap.address, STREAM_FROM "/24");
	end_tap(&b, "pk9");
	strcpy(b.rq.tap.address, STREAM_TO "/24");
	strcpy(b.rq.tap.netns, OTHER_NS);
	if (end_attach(&a) && end_attach(&b))
		stream_across(&a, &b, "TAP ports");
	end_detach(&a);
	end_detach(&b);
}

void test_tap_traffic(void)
{
	moved_device();
	down_and_gone();
	super_frames();
}
