#!/usr/bin/python3 -B
"""A bochs guest, attached by the same script as QEMU's, gets a DHCP lease.

    dnsmasq on sw0 [port host]  switchd  [port t1] t1 --- iPXE on an NE2000
    10.77.0.254

No operating system: the network card's boot ROM asks for the lease. Its
device knows no offload at all, and it drops what has a wrong checksum.

bochs runs its script, etc/qemu-ifup itself, with an empty environment: so
switchctl is put where that looks for it.
"""

import os

import guest
import lab

MAC = "52:54:00:77:00:09"
ROMS = {"bios": "/usr/share/bochs/BIOS-bochs-latest",
        "vga_bios": "/usr/share/seabios/vgabios-stdvga.bin",
        "boot_rom": "/usr/lib/ipxe/qemu/pxe-ne2k_pci.rom"}
CONFIG = """\
megs: 32
romimage: file={bios}
vgaromimage: file={vga_bios}
display_library: rfb, options="timeout=0"
sound: driver=dummy
boot: network
log: {folder}/bochs.log
pci: enabled=1, chipset=i440fx, slot1=ne2k
ne2k: card=0, enabled=1, type=pci, mac={mac}, ethmod=tuntap, \
ethdev=/dev/net/tun:t1, script={ifup}, \
bootrom={boot_rom}
"""
PROGRAMS = "/usr/local/bin"     # one of the places where qemu-ifup looks


def test(place):
    switch = place.switch({"ports": [
        {"name": "host", "type": "tap", "ifname": "sw0",
         "address": "10.77.0.254/24"}]})
    events = switch.events()
    leases = lab.dnsmasq("sw0")
    config = os.path.join(lab.FOLDER, "bochsrc")
    with open(config, "w", encoding="utf-8") as file:
        file.write(CONFIG.format(folder=lab.FOLDER, mac=MAC, ifup=lab.IFUP,
                                 **ROMS))
    lab.mount("programs", PROGRAMS, "tmpfs")
    os.symlink(os.environ["SWITCHCTL"], f"{PROGRAMS}/switchctl")

    bochs = guest.Guest("bochs", ["bochs", "-q", "-f", config])
    # Debian's bochs is a debugger; this makes it go.
    os.write(bochs.process.stdin.fileno(), b"c\n")

    with place.claim("the_script_attaches_the_guest"):
        events.wait("port.attached", "t1")
        port = switch.port("t1")
        assert (port["type"], port["origin"]) == ("netdev", "transient"), port

    def leased():
        with open(leases, encoding="ascii") as file:
            return MAC in file.read()

    with place.claim("the_boot_rom_gets_a_lease"):
        lab.until(leased, "dnsmasq has given a lease", guest.BOOT_SECONDS)

    bochs.kill()
    with place.claim("the_killed_guest_is_detached"):
        events.wait("port.detached", "t1")


lab.run(test, "bochs", ["bochs", "dnsmasq", *ROMS.values()])
