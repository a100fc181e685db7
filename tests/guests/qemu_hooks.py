#!/usr/bin/python3 -B
"""What etc/qemu-ifup and etc/qemu-ifdown ask of switchctl, and what they say.

No guest and no switch: a recorder stands in for switchctl, writes its
arguments down, one a line, and answers as it is told.
"""

import os
import shutil
import subprocess

import lab

RECORDER = """\
#!/bin/sh
printf '%s\\n' "$@" >>{folder}/calls
case $* in
*'port show '*) exit "${{SHOW:-1}}" ;;
esac
[ -z "$SAYS" ] || echo "$SAYS" >&2
exit "${{STATUS:-0}}"
"""
CALLS = os.path.join(lab.FOLDER, "calls")
CTL = os.path.join(lab.FOLDER, "recorder")
CONF = os.path.join(lab.FOLDER, "ifup.conf")


def write(path, text):
    """Makes a file."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def hook(script, *args, **environment):
    """Runs a hook with nothing in its environment but what is given.
    Returns its status, all its output, and the recorder's arguments."""
    write(CALLS, "")
    done = subprocess.run(
        [script, *args], env={"SWITCHCTL": CTL, "SWITCHD_IFUP_CONF": CONF,
                              **environment},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False)
    with open(CALLS, encoding="ascii") as file:
        return done.returncode, done.stdout, file.read().splitlines()


ATTACH = ["port", "attach", "t1", "type=netdev", "ifname=t1", "transient=yes"]


def test_ifup(place):
    """qemu-ifup."""
    with place.claim("ifup_attaches_a_transient_netdev_port_named_like_it"):
        assert hook(lab.IFUP, "t1") == (0, "", ATTACH)

    with place.claim("ifup_uses_the_socket_and_profile_of_its_environment"):
        assert hook(lab.IFUP, "t1", SWITCHD_SOCKET="/a b",
                    SWITCHD_PROFILE="web") == (
            0, "", ["-s", "/a b", *ATTACH, "profile=web"])

    write(CONF, "# guests\n\nt1 one\nweb* web # all of them\nt* other\n")
    with place.claim("ifup_takes_the_profile_of_the_first_line_that_matches"):
        for ifname, profile in (("t1", "one"), ("web12", "web"),
                                ("t2", "other")):
            status, _, calls = hook(lab.IFUP, ifname)
            assert (status, calls[-1]) == (0, f"profile={profile}"), calls

    with place.claim("ifup_without_a_matching_line_uses_no_profile"):
        calls = hook(lab.IFUP, "eth7")[2]
        assert calls[-2:] == ["ifname=eth7", "transient=yes"], calls

    with place.claim("ifup_prefers_the_profile_of_its_environment"):
        assert hook(lab.IFUP, "t1", SWITCHD_PROFILE="x")[2][-1] == "profile=x"

    with place.claim("ifup_refuses_a_line_that_it_does_not_understand"):
        for line in ("t1\n", "t1 a b\n", "t1 # none\n"):
            write(CONF, line)
            status, output, calls = hook(lab.IFUP, "t1")
            assert status == 1 and CONF in output and not calls, output
    os.unlink(CONF)

    with place.claim("ifup_fails_with_the_reason_of_the_switch"):
        status, output, _ = hook(lab.IFUP, "t1", STATUS="1",
                                 SAYS="no such profile")
        assert status == 1, status
        assert output == ("qemu-ifup: can't attach t1 to the switch: "
                          "no such profile\n"), output


def test_ifdown(place):
    """qemu-ifdown."""
    with place.claim("ifdown_detaches_the_port"):
        assert hook(lab.IFDOWN, "t1") == (0, "", ["port", "detach", "t1"])

    with place.claim("ifdown_is_quiet_about_a_port_that_is_gone"):
        status, output, _ = hook(lab.IFDOWN, "t1", STATUS="1", SAYS="no port")
        assert (status, output) == (0, ""), output

    with place.claim("ifdown_is_quiet_about_a_switch_that_is_gone"):
        status, output, _ = hook(lab.IFDOWN, "t1", STATUS="3", SAYS="refused")
        assert (status, output) == (0, ""), output

    with place.claim("ifdown_fails_with_a_message_when_the_port_stays"):
        status, output, _ = hook(lab.IFDOWN, "t1", STATUS="1", SHOW="0",
                                 SAYS="busy")
        assert status == 1, status
        assert output == ("qemu-ifdown: can't detach t1 from the switch: "
                          "busy\n"), output


def test(place):
    write(CTL, RECORDER.format(folder=lab.FOLDER))
    os.chmod(CTL, 0o755)
    test_ifup(place)
    test_ifdown(place)

    with place.claim("hooks_say_how_they_are_used"):
        for script in (lab.IFUP, lab.IFDOWN):
            for args in ((), ("",), ("a", "b")):
                status, output, calls = hook(script, *args)
                assert status == 2 and "usage:" in output, output
                assert not calls, calls

    with place.claim("hooks_say_that_switchctl_is_missing"):
        for script in (lab.IFUP, lab.IFDOWN):
            status, output, _ = hook(script, "t1", SWITCHCTL="/no/such")
            assert status == 1 and "no /no/such" in output, output

    with place.claim("hooks_find_switchctl_without_a_path"):
        lab.mount("bin", "/usr/local/bin", "tmpfs")
        shutil.copy(CTL, "/usr/local/bin/switchctl")
        # One that is installed there is found before it.
        for path in ("/usr/sbin/switchctl", "/usr/bin/switchctl"):
            if os.path.exists(path):
                lab.mount(CTL, path, None, lab.MS_BIND)
        for path in ({}, {"PATH": ""}):
            assert hook(lab.IFUP, "t1", SWITCHCTL="", **path) == (
                0, "", ATTACH)


lab.run(test, "qemu_hooks", ["ip"], boots=False)
