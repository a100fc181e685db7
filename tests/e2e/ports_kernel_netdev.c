/* `netdev` ports: what acquire, adjust and release do to a device. */
#include "ports/netdev.h"
#include "tests/e2e/ports_kernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void refusals(void)
{
	struct end e;

	end_netdev(&e, "pknothere");
	ok_if(end_refused(&e, ENODEV, "no-such-device", "pknothere"),
	      "a device that isn't there is refused");
	end_netdev(&e, "a name too long");
	ok_if(end_refused(&e, ENODEV, "no-such-device", "a name"),
	      "so is a name that no device can have");
	end_netdev(&e, "lo");
	ok_if(end_refused(&e, EINVAL, "not-ethernet", "lo"),
	      "lo is refused: not Ethernet");
}

static void host_uses(void)
{
	struct netlink_link before;
	struct end e;

	sh("ip link add pkv type veth peer name pkw; ip link set pkw up;"
	   "ip link set pkv up; ip addr add 10.78.0.1/24 dev pkv");
	before = link_facts("pkv");
	end_netdev(&e, "pkv");
	ok_if(end_refused(&e, EBUSY, "device-in-use-by-host",
			  "address 10.78.0.1/24"),
	      "a device with an address is refused, which is said");
	ok_if(strstr(e.err.message, "force=yes"), "and how to go on");
	sh("ip route add default via 10.78.0.9");
	ok_if(end_refused(&e, EBUSY, "device-in-use-by-host",
			  "10.78.0.1/24, a default route"),
	      "so is one with a default route, both are said");
	sh("ip route del default; ip addr flush dev pkv;"
	   "ip -6 addr add fd78::1/64 dev pkv nodad");
	ok_if(end_refused(&e, EBUSY, "device-in-use-by-host", "fd78::1/64"),
	      "so is one with an IPv6 address");
	ok_if(!has_clsact("pkv") && disable_ipv6("pkv") == 0,
	      "a refusal leaves the device alone");
	e.rq.netdev.force = true;
	ok_if(end_attach(&e), "force=yes takes it");
	ok_if(has_guard("pkv") && disable_ipv6("pkv") == 0,
	      "its IPv6 stays on, for addresses wouldn't come back");
	end_detach(&e);
	ok_if(sh("ip -6 addr show dev pkv | grep -q fd78::1"),
	      "it has its IPv6 address afterwards");
	sh("ip -6 addr flush dev pkv scope global;"
	   "ip link add pkbr type bridge; ip link set pkv master pkbr");
	end_netdev(&e, "pkv");
	ok_if(end_refused(&e, EBUSY, "device-in-use-by-host", "master pkbr"),
	      "a bridge's port is refused, the bridge named");
	sh("ip link set pkv nomaster; ip link del pkbr;"
	   "ip addr add 169.254.7.7/16 dev pkv");
	ok_if(end_attach(&e), "link-local addresses don't matter");
	end_detach(&e);
	ok_if(link_facts("pkv").ifindex == before.ifindex &&
		      link_facts("pkv").up,
	      "a device that was up stays up");
	sh("ip link del pkv");
}

static void promiscuous(void)
{
	struct end e;

	sh("ip link add pkp type bridge; ip link add pkv type veth peer pkw");
	end_netdev(&e, "pkp");
	ok_if(end_attach(&e) && sh("ip -d link show pkp | "
				   "grep -q 'promiscuity [1-9]'"),
	      "a device that may filter addresses is made promiscuous");
	end_detach(&e);
	ok_if(sh("ip -d link show pkp | grep -q 'promiscuity 0'"),
	      "after release it isn't");
	end_netdev(&e, "pkv");
	ok_if(end_attach(&e) && sh("ip -d link show pkv | "
				   "grep -q 'promiscuity 0'"),
	      "a veth needn't be");
	end_detach(&e);
	e.rq.netdev.promisc = true;
	ok_if(end_attach(&e) && sh("ip -d link show pkv | "
				   "grep -q 'promiscuity [1-9]'"),
	      "unless promisc=yes");
	end_detach(&e);
	sh("ip link del pkp; ip link del pkv");
}

static void put_back(void)
{
	struct netlink_link before, link;
	struct end e;
	int guest = guest_open("pkg", 0, 0);

	sh("ip link set pkg mtu 1400");
	before = link_facts("pkg");
	end_netdev(&e, "pkg");
	e.rq.mtu = 1600;
	ok_if(end_attach(&e), "a TAP that another descriptor holds is taken");
	link = link_facts("pkg");
	ok_if(link.up && link.mtu == 1600 && e.grant.mtu == 1600,
	      "it's up, with the MTU asked for");
	ok_if(e.grant.mac == before.mac && e.grant.ifindex == before.ifindex,
	      "the grant has its address and index");
	ok_if(has_guard("pkg"), "TC ingress drops for the host");
	ok_if(disable_ipv6("pkg") == 1, "IPv6 is off");
	ok_if(!e.grant.unguarded, "so it's guarded");
	e.rq.mtu = 1500;
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err) &&
		      link_facts("pkg").mtu == 1500,
	      "adjust changes the MTU");
	sh("ip link set pkg down; ip link set pkg name pkg2;"
	   "ip link set pkg2 up");
	end_detach(&e);
	link = link_facts("pkg2");
	ok_if(!link.up && link.mtu == 1400,
	      "renamed meanwhile, flags and MTU are put back");
	ok_if(!has_clsact("pkg2"), "the qdisc is gone");
	ok_if(disable_ipv6("pkg2") == 0, "IPv6 is on again");

	sh("echo 1 >/proc/sys/net/ipv6/conf/pkg2/disable_ipv6;"
	   "tc qdisc add dev pkg2 clsact;"
	   "tc filter add dev pkg2 ingress prio 7 u32 match u32 0 0 flowid 1:1");
	end_netdev(&e, "pkg2");
	ok_if(end_attach(&e) && has_guard("pkg2"),
	      "a clsact that's there is used");
	end_detach(&e);
	ok_if(has_clsact("pkg2") && !has_guard("pkg2") &&
		      sh("tc filter show dev pkg2 ingress | grep -q 'pref 7 '"),
	      "it stays, with others' filters and without ours");
	ok_if(disable_ipv6("pkg2") == 1, "IPv6 that was off stays off");

	sh("tc qdisc del dev pkg2 clsact");
	ok_if(end_attach(&e) && sh("tc filter add dev pkg2 egress prio 7 u32 "
				   "match u32 0 0 flowid 1:1"),
	      "somebody adds a filter to our clsact");
	end_detach(&e);
	ok_if(has_clsact("pkg2") && !has_guard("pkg2"),
	      "then it stays for him");

	close(guest);
}

/* ---- adjust ------------------------------------------------------------- */

static void mtu_taken_back(void)
{
	int guest = guest_open("pkz", 0, 0);
	struct end e;

	sh("ip link set pkz mtu 1400");
	end_netdev(&e, "pkz");
	if (!end_attach(&e))
		return;
	ok_if(link_facts("pkz").mtu == 1400 && e.grant.mtu == 1400,
	      "without an MTU the device keeps its own");
	sh("ip link set pkz mtu 1450");
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err) &&
		      link_facts("pkz").mtu == 1450 && e.grant.mtu == 1450,
	      "also one that it was given meanwhile");
	e.rq.mtu = 1300;
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err) &&
		      link_facts("pkz").mtu == 1300,
	      "an MTU is set");
	e.rq.mtu = 1200;
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err) &&
		      link_facts("pkz").mtu == 1200,
	      "and another");
	e.rq.mtu = 0;
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err) &&
		      link_facts("pkz").mtu == 1450 && e.grant.mtu == 1450,
	      "taken back, the device has its own again");
	sh("ip link set pkz mtu 1480");
	end_detach(&e);
	ok_if(link_facts("pkz").mtu == 1480,
	      "release leaves an MTU alone that isn't ours");
	close(guest);
}

/* A VXLAN can't be brought up while somebody has its UDP port. */
static void adjust_all_or_nothing(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET,
				   .sin_port = htons(4789) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct end e;

	sh("ip link add pkl type vxlan id 5 local 127.0.0.1 dstport 4789");
	end_netdev(&e, "pkl");
	e.rq.enabled = false;
	ok_if(!bind(fd, (struct sockaddr *)&any, sizeof(any)) && end_attach(&e),
	      "a device that can't be brought up is attached to");
	e.rq.enabled = true;
	e.rq.mtu = 1400;
	ok_if(e.ops->adjust(&e.rq, &e.grant, &e.err) == -EADDRINUSE &&
		      !strcmp(e.err.path, "enabled"),
	      "when it's to be, the error says so");
	ok_if(link_facts("pkl").mtu == 1500 && e.grant.mtu == 1500 &&
		      !link_facts("pkl").up,
	      "its MTU is as it was");
	close(fd);
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err) &&
		      link_facts("pkl").mtu == 1400 && e.grant.mtu == 1400 &&
		      link_facts("pkl").up && e.grant.carrier,
	      "when it can be, it has all of it");
	e.rq.enabled = false;
	e.rq.mtu = PORT_MTU_MIN - 1;
	ok_if(e.ops->adjust(&e.rq, &e.grant, &e.err) < 0 &&
		      !strcmp(e.err.reason, "bad-mtu") &&
		      link_facts("pkl").up && link_facts("pkl").mtu == 1400,
	      "refusing an MTU leaves it up");
	end_detach(&e);
	ok_if(link_facts("pkl").mtu == 1500, "release has the MTU before us");
	sh("ip link del pkl");
}

static void replaced_device(void)
{
	struct end e;
	int guest = guest_open("pkr", 0, 0);

	end_netdev(&e, "pkr");
	e.rq.mtu = 1300;
	if (!end_attach(&e))
		return;
	sh("ip link set pkr down");
	while (end_rx(&e, 0))
		;
	ok_if(!atomic_load(&e.port->failed), "a device that's down isn't gone");
	sh("ip link set pkr up");
	ok_if(guest_write(guest, lab_frame(60, 5)) && end_rx_type(&e, LAB_TYPE),
	      "up again its frames arrive");
	close(guest);
	end_rx(&e, DEADLINE_MS);
	ok_if(atomic_load(&e.port->failed) == ENETDOWN,
	      "when the guest is gone, so is the device: the port fails");
	ok_if(end_tx(&e, lab_frame(60, 1)) == DROP_LINK_DOWN,
	      "a frame to it is dropped: link-down");
	guest = guest_open("pkr", 0, 0);
	sh("ip link set pkr mtu 1333 up;"
	   "echo 1 >/proc/sys/net/ipv6/conf/pkr/disable_ipv6");
	end_detach(&e);
	ok_if(link_facts("pkr").mtu == 1333 && link_facts("pkr").up &&
		      disable_ipv6("pkr") == 1,
	      "a successor of its name isn't touched by release");
	close(guest);
}

static void carrier(void)
{
	int guest = guest_open("pkc", 0, 0);
	struct end e;

	end_netdev(&e, "pkc");
	e.rq.enabled = false;
	ok_if(end_attach(&e) && link_facts("pkc").up &&
		      !link_facts("pkc").carrier && !e.grant.carrier,
	      "enabled=no takes a TAP's carrier");
	e.rq.enabled = true;
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err) &&
		      link_facts("pkc").carrier && e.grant.carrier,
	      "enabled=yes gives it back");
	e.rq.enabled = false;
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err) &&
		      !link_facts("pkc").carrier,
	      "and takes it again");
	end_detach(&e);
	sh("ip link set pkc up");
	ok_if(link_facts("pkc").carrier, "after release there's carrier");
	close(guest);

	sh("ip link add pkv type veth peer name pkw; ip link set pkw up;"
	   "ip link set pkv up");
	end_netdev(&e, "pkv");
	e.rq.enabled = false;
	ok_if(end_attach(&e) && !link_facts("pkw").carrier,
	      "enabled=no: a veth's peer loses carrier");
	e.rq.enabled = true;
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err) &&
		      link_facts("pkw").carrier,
	      "enabled=yes: it has carrier again");
	e.rq.enabled = false;
	ok_if(!e.ops->adjust(&e.rq, &e.grant, &e.err), "enabled=no again");
	end_detach(&e);
	ok_if(link_facts("pkw").carrier, "after release it has carrier");
	sh("ip link del pkv");
}

/* ---- the host's stack keeps quiet --------------------------------------- */

#define HOST_IP	 0x0a4f0001 /* 10.79.0.1, on another device */
#define GUEST_IP 0x0a4f0109 /* 10.79.1.9 */

static const uint64_t guest_mac = 0x020000005e01;

static struct frame *arp_request(void)
{
	static const uint8_t head[] = { 0, 1, 8, 0, 6, 4, 0, 1 };
	struct frame *f = lab_frame(42, 0);

	store_be16(f->data + 12, 0x0806);
	memcpy(f->data + 14, head, sizeof(head));
	mac_store(f->data + 22, guest_mac);
	store_be32(f->data + 28, GUEST_IP);
	mac_store(f->data + 32, 0);
	store_be32(f->data + 38, HOST_IP);
	return f;
}

static uint16_t ip_sum(const uint8_t *p, unsigned int len)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < len; i += 2)
		sum += load_be16(p + i);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

static struct frame *echo_request(uint64_t to)
{
	struct frame *f = lab_frame(60, 0);
	uint8_t *ip = f->data + 14;

	mac_store(f->data, to);
	store_be16(f->data + 12, 0x0800);
	memset(ip, 0, 46);
	ip[0] = 0x45;
	store_be16(ip + 2, 46);
	ip[8] = 64;
	ip[9] = 1;
	store_be32(ip + 12, GUEST_IP);
	store_be32(ip + 16, HOST_IP);
	store_be16(ip + 10, ip_sum(ip, 20));
	ip[20] = 8;
	store_be16(ip + 22, ip_sum(ip + 20, 26));
	return f;
}

/* Does the host send back a frame of that type? The kernel answers within
 * the write, so what doesn't come at once doesn't come. */
static bool answered(int guest, struct frame *f, uint16_t ethertype)
{
	struct frame got;

	while (guest_read(guest, &got, 0))
		;
	if (!guest_write(guest, f))
		return false;
	while (guest_read(guest, &got, 0))
		if (load_be16(got.data + 12) == ethertype)
			return true;
	return false;
}

static void quiet_host(void)
{
	int guest = guest_open("pkq", 0, 0);
	uint64_t mac = link_facts("pkq").mac;
	struct end e;

	sh("ip link add pkd type bridge; ip addr add 10.79.0.1/24 dev pkd;"
	   "ip link set pkd up; ip link set pkq up;"
	   "ip route add 10.79.1.9/32 dev pkq;"
	   "ip neigh add 10.79.1.9 lladdr 02:00:00:00:5e:01 dev pkq");
	ok_if(answered(guest, arp_request(), 0x0806),
	      "a host answers ARP on any device");
	ok_if(answered(guest, echo_request(mac), 0x0800), "and ping");
	end_netdev(&e, "pkq");
	if (!end_attach(&e))
		return;
	ok_if(!answered(guest, arp_request(), 0x0806),
	      "attached, the host doesn't answer ARP");
	ok_if(!answered(guest, echo_request(mac), 0x0800), "nor ping");
	ok_if(end_rx_type(&e, 0x0806) != NULL, "the port got the request");
	end_detach(&e);
	ok_if(answered(guest, arp_request(), 0x0806),
	      "after release the host answers ARP");
	ok_if(answered(guest, echo_request(mac), 0x0800), "and ping");
	sh("ip link del pkd");
	close(guest);
}

/* ---- a port that somebody has taken over --------------------------------- */

static bool listen_on(int fd, const char *ifname)
{
	struct sockaddr_ll sll = { .sll_family = AF_PACKET,
				   .sll_protocol = htons(ETH_P_ALL),
				   .sll_ifindex = link_facts(ifname).ifindex };

	return !bind(fd, (struct sockaddr *)&sll, sizeof(sll));
}

/* The number of the next frame of ours that the socket has, or 0. */
static uint32_t next_number(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t buf[2048];
	const uint8_t *frame = buf + NETDEV_VNET_LEN;

	while (poll(&p, 1, DEADLINE_MS) == 1) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n >= NETDEV_VNET_LEN + 60 &&
		    load_be16(frame + 12) == LAB_TYPE)
			return load_be32(frame + 14);
	}
	return 0;
}

static void other_devices(void)
{
	int guest = guest_open("pks", 0, 0), other = guest_open("pkt", 0, 0);
	struct end e;
	int zero = 0;

	sh("ip link set pkt up");
	end_netdev(&e, "pks");
	if (!end_attach(&e))
		return;
	for (unsigned int i = 0; i < e.grant.nfds; i++) {
		int fd = e.grant.fd[i];

		ok_if(listen_on(fd, "pkt") &&
			      guest_write(other, lab_frame(60, 1 + i)) &&
			      listen_on(fd, "pks") &&
			      guest_write(guest, lab_frame(60, 11 + i)) &&
			      next_number(fd) == 11 + i,
		      "socket %u of a port hears no other device", i);
		ok_if(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &zero,
				 sizeof(zero)) < 0 &&
			      errno == EPERM,
		      "nor can that be undone");
	}
	end_detach(&e);
	close(guest);
	close(other);
}

/* What `tc` says of a device's own discipline. */
static bool root_is(const char *dev, const char *kind)
{
	return sh("tc qdisc show dev %s root | grep -q '^qdisc %s '", dev,
		  kind);
}

static void queueing_discipline(void)
{
	int guest = guest_open("pkq", 0, 0);
	struct end e;

	sh("ip link set pkq up");
	end_netdev(&e, "pkq");
	ok_if(!root_is("pkq", "noqueue") && end_attach(&e) &&
		      root_is("pkq", "noqueue"),
	      "a TAP has no queueing discipline while it is a port");
	end_detach(&e);
	ok_if(!root_is("pkq", "noqueue"), "and the kernel's again afterwards");
	sh("tc qdisc add dev pkq root handle 7: pfifo limit 77");
	ok_if(end_attach(&e) && root_is("pkq", "pfifo"),
	      "one that somebody has chosen stays");
	end_detach(&e);
	ok_if(root_is("pkq", "pfifo"), "also afterwards");
	close(guest);
}

void test_netdev(void)
{
	refusals();
	host_uses();
	promiscuous();
	put_back();
	queueing_discipline();
	mtu_taken_back();
	adjust_all_or_nothing();
	replaced_device();
	carrier();
	quiet_host();
	other_devices();
}
