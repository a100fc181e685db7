#!/usr/bin/python3 -B
"""QEMU guests without root: their TAP devices come from switchd-helper.

    guest a --- [port]  switchd  [port] --- guest b
    10.77.0.1                               10.77.0.2

QEMU runs as an ordinary user who can't open the control socket, and calls
the helper as "HELPER --use-vnet --fd=N --br=br0". The helper has no
privilege either: the daemon makes the device and hands over its descriptor.
"""

import os
import shutil
import stat
import subprocess

import guest
import lab

def start(name, profile, number, helper):
    """A guest that gets its device from the helper."""
    environment = {name: value for name, value in os.environ.items()
                   if name != "SWITCHD_SOCKET"}
    return guest.qemu(
        name, lab.BOOT,
        # QEMU splits this at commas, and the helper's line at blanks.
        f"tap,helper={helper} --br={profile}" if profile != "br0" else
        f"tap,helper={helper}",
        f"52:54:00:77:00:{number:02x}",
        prefix=lab.AS_NOBODY, env=environment)


def test(place):
    # The build may be where an ordinary user can't go.
    helper = os.path.join(lab.FOLDER, "switchd-helper")
    shutil.copy(os.environ["HELPER"], helper)
    assert not os.stat(helper).st_mode & (stat.S_ISUID | stat.S_ISGID)
    acl = os.path.join(lab.FOLDER, "helper.acl")
    with open(acl, "w", encoding="ascii") as file:
        file.write("# who may have which profile\n"
                   "allow all\ndeny secret\n")
    switch = place.switch({
        "daemon": {"helper-acl": acl},
        "profiles": {"br0": {"mode": "access", "vlan": 10},
                     "secret": {"mode": "access", "vlan": 66}}})

    a, b = start("a", "br0", 1, helper), start("b", "br0", 2, helper)
    a.ready().address("10.77.0.1/24")
    b.ready().address("10.77.0.2/24")

    with place.claim("qemu_needs_no_privilege"):
        for each in (a, b):
            users, caps = lab.privileges(each.process.pid)
            assert users == [str(lab.NOBODY)] * 4 and caps == 0, (users, caps)

    with place.claim("qemus_user_can_not_open_the_control_socket"):
        client = os.path.join(lab.FOLDER, "switchctl")
        shutil.copy(os.environ["SWITCHCTL"], client)
        done = subprocess.run(
            [client, "-s", lab.SOCKET, "switch", "show"], user=lab.NOBODY,
            group=lab.NOBODY, extra_groups=[], capture_output=True, check=False)
        assert done.returncode == 3, done

    with place.claim("guests_ping_each_other"):
        a.ping("10.77.0.2")
        b.ping("10.77.0.1")

    with place.claim("a_file_arrives_unchanged"):
        sent, got = guest.transfer(a, b, "10.77.0.1")
        assert sent == got, f"{sent} became {got}"

    with place.claim("each_port_has_the_settings_of_its_profile"):
        ports = switch.ports()
        assert len(ports) == 2, ports
        for port in ports.values():
            assert (port["mode"], port["vlan"]) == ("access", 10), port

    with place.claim("a_killed_guest_is_detached"):
        b.kill()
        lab.until(lambda: len(switch.ports()) == 1, "its port is gone")

    devices = set(os.listdir("/sys/class/net"))
    with place.claim("a_denied_profile_makes_qemu_end_with_a_message"):
        status, output = start("c", "secret", 3, helper).wait(20)
        assert status != 0, status
        assert "secret" in output and "denied" in output.lower(), output
        assert len(switch.ports()) == 1, switch.ports()

    with place.claim("an_unknown_profile_makes_qemu_end_with_a_message"):
        status, output = start("d", "nowhere", 4, helper).wait(20)
        assert status != 0, status
        assert "nowhere" in output, output

    with place.claim("a_refusal_leaves_no_device_behind"):
        now = set(os.listdir("/sys/class/net"))
        assert now == devices, now

    a.stop()
    with place.claim("a_guest_that_powers_off_is_detached"):
        lab.until(lambda: not switch.ports(), "its port is gone")


lab.run(test, "qemu_helper", ["qemu-system-x86_64", "setpriv"])
