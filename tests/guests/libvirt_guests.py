#!/usr/bin/python3 -B
"""Domains of a real libvirtd, whose ports switchd-libvirt makes.

    domain a -- lv1 [port a/net0, VLAN 10]   switchd   [port c/net0] c.sock --
    10.77.0.1                                   |          domain c 10.77.0.3
                                          [port s/net0]
                                   s.sock, of domain s 10.77.0.4

Then libvirtd, the switch and the program are killed, one after the other, and
come back, while both run.
"""

import os
import signal
import socket
import subprocess
import sys
import time

import guest
import lab

PROGRAM = os.path.join(os.path.dirname(os.environ.get("SWITCHCTL", "")),
                       "../libvirt/switchd-libvirt")
URI = "qemu:///system"  # the unit's
QEMU_UID = 64055  # libvirt-qemu's, as Debian has it

# libvirtd has children that outlive their parents, and waits until they are
# gone: somebody must take notice of their ends. PR_SET_CHILD_SUBREAPER is 36.
REAPER = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
child = subprocess.Popen(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(child.pid))
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""

DOMAIN = """
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
  <metadata><switchd:ports xmlns:switchd='urn:switchd:1'
    mode='access' vlan='10'/></metadata>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <os><type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{boot}/vmlinux</kernel><initrd>{boot}/qemu.cpio</initrd>
    <cmdline>{cmdline}</cmdline></os>
  <features><acpi/></features>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/><memballoon model='none'/>
    <serial type='unix'>
      <source mode='bind' path='/run/lab/{name}.console'/></serial>
    {interface}
  </devices>
  <qemu:override><qemu:device alias='ua-n0'><qemu:frontend>
    <qemu:property name='vectors' type='unsigned' value='0'/>
  </qemu:frontend></qemu:device></qemu:override>
</domain>"""
MAC = "<mac address='52:54:00:77:00:0{}'/><model type='virtio'/>" \
      "<alias name='ua-n0'/>"


class Console(guest.Guest):
    """A domain's console, by its socket."""

    # pylint: disable=super-init-not-called
    def __init__(self, name):
        self.name, self.tag, self.seen = name, 0, b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"{lab.FOLDER}/{name}.console")
        # All that Guest needs of a process is where to write and read.
        self.process = self
        self.stdin = self.stdout = self.socket


def daemon(program):
    """Starts a program of libvirt's; returns its process number."""
    path = os.path.join(lab.FOLDER, f"{program}.pid")
    if os.path.exists(path):
        os.unlink(path)
    with open(os.path.join(lab.FOLDER, f"{program}.log"), "ab") as log:
        # pylint: disable=consider-using-with
        subprocess.Popen([sys.executable, "-c", REAPER, path, program],
                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def number():
        if not os.path.exists(path):
            return 0
        with open(path, encoding="ascii") as file:
            return int(file.read() or 0)

    return lab.until(number, f"{program} is started")


def follow():
    """Starts switchd-libvirt, as its unit would."""
    with open(os.path.join(os.environ["BUILD"], "etc/switchd-libvirt.service"),
              encoding="ascii") as unit:
        line = next(l for l in unit if l.startswith("ExecStart="))
    with open(os.path.join(lab.FOLDER, "program.log"), "ab") as log:
        # pylint: disable=consider-using-with
        return subprocess.Popen([PROGRAM, *line.split()[1:]],
                                stdin=subprocess.DEVNULL, stdout=log,
                                stderr=log)


def virsh(*args):
    """Runs virsh; returns what it prints."""
    return lab.command("virsh", "-c", URI, *args)


def libvirtd_answers():
    """Is it there?"""
    return subprocess.run(["virsh", "-c", URI, "list"], check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def furnish():
    """What libvirt finds: folders of its own, its user, and no KVM, which it
    would take for changed each time, and ask QEMU anew for all it can do."""
    for folder in ("/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt",
                   "/var/log/libvirt"):
        os.makedirs(folder, exist_ok=True)
        lab.mount("tmpfs", folder, "tmpfs")
    with open("/etc/libvirt/qemu.conf", "w", encoding="ascii") as file:
        file.write('security_driver = "none"\nnamespaces = []\n'
                   'cgroup_controllers = []\n')
    for name, line in (("passwd", f"libvirt-qemu:x:{QEMU_UID}:{QEMU_UID}::/:"
                        "/bin/false"),
                       ("group", f"libvirt-qemu:x:{QEMU_UID}:\n"
                        "libvirt:x:64056:")):
        with open(f"/etc/{name}", encoding="utf-8") as file:
            text = file.read()
        with open(f"{lab.FOLDER}/{name}", "w", encoding="utf-8") as file:
            file.write(f"{text}{line}\n")
        lab.mount(f"{lab.FOLDER}/{name}", f"/etc/{name}", None, lab.MS_BIND)
    if os.path.exists("/dev/kvm"):
        with open(f"{lab.FOLDER}/kvm", "wb"):
            os.chmod(f"{lab.FOLDER}/kvm", 0)
        lab.mount(f"{lab.FOLDER}/kvm", "/dev/kvm", None, lab.MS_BIND)


def define(name, interface):
    """A domain that isn't started yet."""
    path = os.path.join(lab.FOLDER, f"{name}.xml")
    cmdline = guest.QEMU_CMDLINE
    with open(path, "w", encoding="ascii") as file:
        file.write(DOMAIN.format(name=name, boot=lab.BOOT, cmdline=cmdline,
                                 interface=interface))
    virsh("define", path)


def test(place):
    furnish()
    switch = place.switch({})
    daemon("virtlogd")
    libvirtd = daemon("libvirtd")
    lab.until(libvirtd_answers, "libvirtd answers", 30)
    program = follow()

    def has(*names):
        lab.until(lambda: set(switch.ports()) == set(names), f"ports {names}")

    with place.claim("a_socket_is_there_when_its_domain_is_defined"):
        define("a", "<interface type='ethernet'><target dev='lv1'/>"
               + MAC.format(1) + "</interface>")
        define("c", "<interface type='vhostuser'><source type='unix' "
               "path='/run/switchd/c.sock' mode='client'>"
               "<reconnect enabled='yes' timeout='1'/></source>"
               + MAC.format(3) + "</interface>")
        has("c/ua-n0")

    with place.claim("a_started_domain_has_its_port_in_its_vlan"):
        virsh("start", "a")
        virsh("start", "c")
        has("a/ua-n0", "c/ua-n0")
        port = switch.ports()["a/ua-n0"]
        assert port["ifname"] == "lv1", port
        assert (port["mode"], port["vlan"]) == ("access", 10), port

    a, c = Console("a"), Console("c")
    with place.claim("an_ethernet_and_a_vhostuser_domain_ping_each_other"):
        a.ready().address("10.77.0.1/24")
        c.ready().address("10.77.0.3/24")
        a.ping("10.77.0.3")

    with place.claim("a_domain_that_listens_itself_is_connected_to"):
        os.makedirs(f"{lab.VHOST}/qemu", exist_ok=True)
        os.chown(f"{lab.VHOST}/qemu", QEMU_UID, QEMU_UID)
        define("s", "<interface type='vhostuser'><source type='unix' "
               "path='/run/vhost-user/qemu/s.sock' mode='server'/>"
               + MAC.format(4) + "</interface>")
        begun = time.monotonic()
        virsh("start", "s")  # which waits for QEMU, and that for the switch
        assert time.monotonic() - begun < 10
        has("a/ua-n0", "c/ua-n0", "s/ua-n0")
        s = Console("s").ready()
        s.address("10.77.0.4/24")
        s.ping("10.77.0.1")
        s.ping("10.77.0.3")
        assert switch.ports()["s/ua-n0"]["vlan"] == 10

    with place.claim("metadata_changes_a_port_while_its_domain_runs"):
        virsh("metadata", "a", "urn:switchd:1", "--key", "switchd", "--set",
              "<ports mode='access' vlan='20'/>", "--live")
        lab.until(lambda: switch.ports()["a/ua-n0"]["vlan"] == 20, "VLAN 20")
        virsh("metadata", "a", "urn:switchd:1", "--key", "switchd", "--set",
              "<ports mode='access' vlan='10'/>", "--live")
        lab.until(lambda: switch.ports()["a/ua-n0"]["vlan"] == 10, "VLAN 10")

    with place.claim("a_libvirtd_that_dies_and_comes_back_changes_nothing"):
        events = switch.events()
        os.kill(libvirtd, signal.SIGKILL)
        lab.until(lambda: not libvirtd_answers(), "libvirtd is gone")
        a.ping("10.77.0.3")
        daemon("libvirtd")
        lab.until(libvirtd_answers, "libvirtd answers", 30)
        virsh("metadata", "a", "urn:switchd:1", "--key", "switchd", "--set",
              "<ports mode='access' vlan='10' flood='no'/>", "--live")
        events.wait("port.changed", "a/ua-n0")
        assert not [e for e in events.seen if e["topic"] in (
            "port.attached", "port.detached")], events.seen
        virsh("metadata", "a", "urn:switchd:1", "--key", "switchd", "--set",
              "<ports mode='access' vlan='10'/>", "--live")
        events.wait("port.changed", "a/ua-n0")
        a.ping("10.77.0.3")

    with place.claim("what_happens_while_the_program_is_dead_is_made_up_for"):
        events = switch.events()
        program.kill()
        program.wait()
        switch.ctl("port", "set", "a/ua-n0", "vlan=30")
        events.wait("port.changed", "a/ua-n0")
        program = follow()
        events.wait("port.changed", "a/ua-n0")
        assert not [e for e in events.seen if e["topic"] in (
            "port.attached", "port.detached")], events.seen
        a.ping("10.77.0.3")

    with place.claim("a_new_switch_gets_the_ports_of_domains_that_run"):
        assert switch.stop() == 0
        place.switches.remove(switch)
        switch = place.switch({})
        has("a/ua-n0", "c/ua-n0", "s/ua-n0")
        assert switch.ports()["a/ua-n0"]["vlan"] == 10
        for name in ("c/ua-n0", "s/ua-n0"):
            lab.until(lambda n=name: switch.ports()[n]["state"] == "up",
                      f"the guest of {name} is back")
        a.ping("10.77.0.3")
        a.ping("10.77.0.4")

    with place.claim("a_destroyed_domain_that_listened_has_no_port"):
        virsh("destroy", "s")
        has("a/ua-n0", "c/ua-n0")
        virsh("undefine", "s")

    with place.claim("a_destroyed_domains_tap_port_is_gone"):
        virsh("destroy", "a")
        has("c/ua-n0")

    with place.claim("an_undefined_domains_socket_is_gone"):
        virsh("destroy", "c")
        virsh("undefine", "c")
        has()

    with place.claim("the_program_ends_cleanly_on_SIGTERM"):
        program.terminate()
        assert program.wait(10) == 0, program.returncode


if not os.access(PROGRAM, os.X_OK):
    print("not ok - libvirt_guests # no switchd-libvirt was built "
          "(package libvirt-dev)\n1..1")
    sys.exit(1)
lab.PACKAGES.update({"virsh": "libvirt-clients", "libvirtd": "libvirt-daemon",
                     "virtlogd": "libvirt-daemon"})
lab.run(test, "libvirt_guests",
        ["qemu-system-x86_64", "libvirtd", "virtlogd", "virsh"])
