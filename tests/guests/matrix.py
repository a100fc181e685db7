#!/usr/bin/python3 -B
"""Every guest on one switch: each dialect with each other one.

    User-Mode Linux                        QEMU
      vec tap ------- [netdev tap]           tap, script= --- [netdev t2]
      eth tuntap ---- [netdev tuntap]        socket, TCP ---- [stream st.1]
      vec raw, veth - [netdev raw]           stream,server=on [stream dial]
      vec bess ------ [seqpacket seq.1]      dgram, Unix ---- [dgram dgram]
      eth vde ------- [vde v.1]              dgram, UDP ----- [udp udp]
      eth daemon ---- [uml u.1]              vde ------------ [vde v.5]
      virtio -------- [vhost-user vu]        vhost-user ----- [vhost-user vq]

    and the host [tap host], the outside [slirp nat]
"""

import os

import guest
import lab

NET = "10.77.0."
GATEWAY = NET + "2"     # the NAT's
HOST = NET + "254"
MEGABYTES = 0.25        # those that lose frames are slow when all is busy

CONFIG = {
    "daemon": {"allow": {"sockets": [f"{lab.FOLDER}/*", f"{lab.VHOST}/*"]}},
    "listeners": [
        {"name": "st", "type": "stream", "listen": "127.0.0.1:4446"},
        {"name": "seq", "type": "seqpacket", "listen": f"{lab.FOLDER}/seq"},
        {"name": "v", "type": "vde", "listen": f"{lab.FOLDER}/vde"},
        {"name": "u", "type": "uml", "listen": f"{lab.FOLDER}/u"}],
    "ports": [
        {"name": "host", "type": "tap", "ifname": "sw0",
         "address": f"{HOST}/24"},
        {"name": "dial", "type": "stream", "connect": f"{lab.FOLDER}/dial"},
        {"name": "dgram", "type": "dgram", "local": f"{lab.FOLDER}/d.sw",
         "remote": f"{lab.FOLDER}/d.qemu"},
        {"name": "udp", "type": "udp", "local": "127.0.0.1:4444",
         "remote": "127.0.0.1:4445"},
        {"name": "vu", "type": "vhost-user", "path": f"{lab.VHOST}/vu"},
        {"name": "vq", "type": "vhost-user", "path": f"{lab.VHOST}/vq"}]}

# How each is started, by the name of its port. {mac}: its address.
UML = {
    "tap": "vec0:transport=tap,ifname=t1,depth=128,gro=1,mac={mac}",
    "tuntap": "eth0=tuntap,t3,{mac}",
    "raw": "vec0:transport=raw,ifname=veth1,mac={mac}",
    "seq.1": f"vec0:transport=bess,dst={lab.FOLDER}/seq,mac={{mac}}",
    "v.1": f"eth0=vde,{lab.FOLDER}/vde,{{mac}}",
    "u.1": f"eth0=daemon,{{mac}},unix,{lab.FOLDER}/u",
    "vu": f"virtio_uml.device={lab.VHOST}/vu:1"}
QEMU = {
    "t2": f"tap,ifname=t2,script={lab.IFUP},downscript={lab.IFDOWN}",
    "st.1": "socket,connect=127.0.0.1:4446",
    "dial": f"stream,server=on,addr.type=unix,addr.path={lab.FOLDER}/dial",
    "dgram": f"dgram,local.type=unix,local.path={lab.FOLDER}/d.qemu,"
             f"remote.type=unix,remote.path={lab.FOLDER}/d.sw",
    "udp": "dgram,local.type=inet,local.host=127.0.0.1,local.port=4445,"
           "remote.type=inet,remote.host=127.0.0.1,remote.port=4444",
    "v.5": f"vde,sock={lab.FOLDER}/vde,port=5"}


def outside(switch):
    """The NAT, where it has been built: its address, and what it is."""
    if not os.path.exists(os.environ["SWITCHD_SLIRP"]):
        return [], {}
    switch.result("port", "attach", "nat", "type=slirp", f"ipv4={NET}0/24")
    return [GATEWAY], {"nat": "slirp"}


def devices(switch):
    """Those that guests open, as ports."""
    for port, ifname in (("tap", "t1"), ("tuntap", "t3")):
        lab.command("ip", "tuntap", "add", ifname, "mode", "tap")
        switch.result("port", "attach", port, "type=netdev",
                      f"ifname={ifname}")
    lab.command("ip", "link", "add", "veth0", "type", "veth", "peer", "name",
                "veth1")
    lab.command("ip", "link", "set", "veth1", "up")
    switch.result("port", "attach", "raw", "type=netdev", "ifname=veth0")


def start():
    """All guests, not waited for, by the names of their ports."""
    names = [*UML, *QEMU, "vq"]
    macs = {name: f"52:54:00:77:00:{number:02x}"
            for number, name in enumerate(names, 1)}
    guests = {name: guest.uml(name, lab.BOOT, how.format(mac=macs[name]))
              for name, how in UML.items()}
    for name, how in QEMU.items():
        guests[name] = guest.qemu(name, lab.BOOT, how, macs[name])
    guests["vq"] = guest.qemu_vhost("vq", lab.BOOT, f"{lab.VHOST}/vq",
                                    macs["vq"])
    return guests


def reaches(each, addresses):
    """A guest pings all of them, by frames of full size."""
    missed = each.check(
        f"for a in {' '.join(addresses)}; do "
        "ping -c 1 -W 5 -s 1472 $a >/dev/null || echo $a; done")
    assert not missed, f"no answer from {missed}"


def test(place):
    lab.quiet()
    switch = place.switch(CONFIG)
    devices(switch)
    gateway, nat = outside(switch)
    guests = start()
    addresses = {}
    for number, (name, each) in enumerate(guests.items(), 11):
        addresses[name] = f"{NET}{number}"
        each.ready().address(f"{addresses[name]}/24")

    with place.claim("each_guest_is_a_port_of_its_dialect"):
        types = {name: port["type"] for name, port in switch.ports().items()}
        assert types == {
            "tap": "netdev", "tuntap": "netdev", "raw": "netdev",
            "t2": "netdev", "st.1": "stream", "dial": "stream",
            "dgram": "dgram", "udp": "udp", "seq.1": "seqpacket",
            "v.1": "vde", "v.5": "vde", "u.1": "uml", "vu": "vhost-user",
            "vq": "vhost-user", "host": "tap", **nat}, types

    for name, each in guests.items():
        with place.claim(f"{name}_reaches_all_others"):
            others = [a for n, a in addresses.items() if n != name]
            reaches(each, others + [HOST] + gateway)
    with place.claim("the_host_reaches_all"):
        for address in (*addresses.values(), *gateway):
            lab.command("ping", "-q", "-c1", "-W5", address)

    names = list(guests)
    for name, to in zip(names, names[1:] + names[:1]):
        with place.claim(f"a_file_from_{name}_arrives_unchanged_at_{to}"):
            guest.same_file(guests[name], guests[to], addresses[name],
                            MEGABYTES)

    with place.claim("both_ledgers_close"):
        stats = switch.result("stats", "show")
        rx, tx = stats["rx"], stats["tx"]
        assert rx["frames"] == rx["forwarded"] + rx["dropped"], rx
        assert tx["copies"] == tx["frames"] + tx["dropped"], tx
    for each in guests.values():
        each.kill()


lab.run(test, "matrix", ["qemu-system-x86_64", "linux.uml", "ping"])
