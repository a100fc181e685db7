#!/usr/bin/python3 -B
"""A guest that has IPv6 only reaches one that has IPv4 only, by NAT64.

    QEMU --- t6 [VLAN 6] --+          +-- [VLAN 4] t4 --- UML
    2001:db8:6::2          | switchd  |                   10.77.0.2
                    gw6 ---+          +--- gw4
       2001:db8:6::1  the host, with tayga   10.77.0.1

UML's kernel has no IPv6 at all. To the guest of QEMU, IPv4 is 2001:db8:64::/96;
it is 192.168.255.66 itself, for those who have only that.
"""

import os
import subprocess

import guest
import lab

UML_V6 = "2001:db8:64::10.77.0.2"
QEMU_V4 = "192.168.255.66"
MEGABYTES = 4
CONFIG = f"""
tun-device nat64
ipv4-addr 192.168.255.1
prefix 2001:db8:64::/96
dynamic-pool 192.168.255.0/24
map {QEMU_V4} 2001:db8:6::2
data-dir {lab.FOLDER}
"""


def gateway():
    """Makes a router of the test's namespace, with tayga in it."""
    for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        with open(f"/proc/sys/net/{setting}", "w", encoding="ascii") as file:
            file.write("1")
    lab.command("ip", "-6", "addr", "add", "2001:db8:6::1/64", "dev", "gw6",
                "nodad")
    path = os.path.join(lab.FOLDER, "tayga.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(CONFIG)
    lab.command("tayga", "-c", path, "--mktun")
    lab.command("ip", "link", "set", "nat64", "up")
    lab.command("ip", "route", "add", "192.168.255.0/24", "dev", "nat64")
    lab.command("ip", "route", "add", "2001:db8:64::/96", "dev", "nat64")
    # pylint: disable-next=consider-using-with
    subprocess.Popen(["tayga", "-c", path, "--nodetach"],
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                     stderr=subprocess.DEVNULL)


def accounted(port):
    """Is each frame of a port forwarded, sent, or dropped for a reason?"""
    return (port["rx"]["frames"] == port["rx"]["forwarded"] +
            sum(port["rx"]["drops"].values()) and
            port["tx"]["copies"] == port["tx"]["frames"] +
            sum(port["tx"]["drops"].values()))


def test(place):
    switch = place.switch({"ports": [
        {"name": "gw6", "type": "tap", "ifname": "gw6", "mode": "access",
         "vlan": 6},
        {"name": "gw4", "type": "tap", "ifname": "gw4", "mode": "access",
         "vlan": 4, "address": "10.77.0.1/24"}]})
    for vlan in ("6", "4"):
        lab.command("ip", "tuntap", "add", f"t{vlan}", "mode", "tap")
        switch.result("port", "attach", f"t{vlan}", "type=netdev",
                      f"ifname=t{vlan}", "mode=access", f"vlan={vlan}")
    gateway()
    a = guest.qemu("a", lab.BOOT, "tap,ifname=t6,script=no,downscript=no",
                   "52:54:00:77:00:01")
    b = guest.uml("b", lab.BOOT, "vec0:transport=tap,ifname=t4,depth=128,"
                  "gro=1,mac=52:54:00:77:00:02")
    a.ready().check("ip link set eth0 up && "
                    "ip addr add 2001:db8:6::2/64 dev eth0 && "
                    "ip -6 route add default via 2001:db8:6::1")
    b.ready().address("10.77.0.2/24")
    b.check("ip route add default via 10.77.0.1")

    with place.claim("a_guest_has_ipv6_only_and_another_one_ipv4_only"):
        addresses = a.check("ip -4 addr show dev eth0")
        assert "inet " not in addresses, addresses
        assert b.run("test -e /proc/net/if_inet6")[0]

    with place.claim("it_reaches_ipv4_through_the_switch_and_tayga"):
        lab.until(lambda: a.run(f"ping -c 1 -W 1 {UML_V6}")[0] == 0,
                  "an answer")
        a.ping(UML_V6)

    with place.claim("with_the_longest_packets_too"):
        a.ping(UML_V6, "-s", "1452")

    with place.claim("it_is_reached_from_ipv4"):
        b.ping(QEMU_V4)

    with place.claim("a_file_arrives_unchanged"):
        guest.same_file(b, a, UML_V6, MEGABYTES)

    with place.claim("it_came_by_the_switch_on_both_sides_of_tayga"):
        least = (MEGABYTES << 20) // 1500
        for name, way in (("gw4", "tx"), ("gw6", "rx")):
            got = switch.port(name)[way]["segments"]
            assert got >= least, f"{name}: {got} of {least}"

    with place.claim("every_frame_is_accounted_for"):
        for name in switch.ports():
            lab.until(lambda name=name: accounted(switch.port(name)),
                      f"the ledgers of {name} close")
    a.stop()
    b.stop()


lab.run(test, "tayga", ["qemu-system-x86_64", "linux.uml", "tayga"])
