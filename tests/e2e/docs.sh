#!/bin/bash
# What the documents say is so: the protocol's page has the methods, parameters,
# drop reasons, events and reasons of errors that the daemon has, no more and no
# less; the configuration's page has its keys, and its examples load; the
# README's commands run as they stand, and its table of guests has tests.
#
#	host [sw0] --+-- switchd -- eth1 -- [veth 192.0.2.1] wire
#	vm0 [tap] ---+
. "$(dirname "$0")/lib.sh"

# ---- pages against the daemon ----------------------------------------------

cat >"$T/check.py" <<'END'
"""check.py WHAT: compares a man page with what it describes."""
import glob
import json
import os
import re
import subprocess
import sys

SRC, SOCKET = os.environ["SRC"], os.environ["SOCKET"]
HELPER = os.path.join(os.path.dirname(SOCKET), "helper.sock")


def read(path):
    with open(os.path.join(SRC, path), encoding="utf-8") as file:
        return file.read()


def section(page, title):
    """The text of a section of a man page, its subsections included."""
    return re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", page,
                     re.S | re.M).group(1)


def items(text, macro):
    """What the list items of a page tag: {"a", "b"} of .It Cm a , b"""
    found = set()
    for line in re.findall(rf"^\.It {macro} (.*)$", text, re.M):
        found |= {word for word in line.split() if word != ","}
    return found


def same(page, truth):
    for name in sorted(truth - page):
        print(f"not in the page: {name}")
    for name in sorted(page - truth):
        print(f"in the page only: {name}")
    return page == truth and bool(truth)


def call(socket, *words):
    return json.loads(subprocess.run(
        [os.environ["SWITCHCTL"], "-j", "-s", socket, *words],
        stdout=subprocess.PIPE, check=True).stdout)


def methods():
    """{name: parameters} of both sockets."""
    return {method["name"]: {p["name"] for p in method["params"]}
            for socket in (SOCKET, HELPER)
            for method in call(socket, "rpc", "discover")["methods"]}


def sources():
    return "".join(read(os.path.relpath(f, SRC)) for folder in
                   ("switchd", "ports", "control", "fdb", "base")
                   for f in sorted(glob.glob(f"{SRC}/{folder}/*.c")))


PROTOCOL = read("switchd/switchd-protocol.7")
CONF = read("switchd/switchd.conf.5")


def check_methods():
    return same(items(section(PROTOCOL, "METHODS"), "Ic"), set(methods()))


def check_parameters():
    port = items(section(PROTOCOL, "PORT PARAMETERS"), "Cm")
    truth, page = set(), set()
    for name, parameters in methods().items():
        text = re.search(rf"^\.It Ic {re.escape(name)}\n(.*?)"
                         r"(?=^\.It Ic |^\.S[hs] |\Z)",
                         section(PROTOCOL, "METHODS"), re.S | re.M).group(1)
        said = items(text, "Cm")
        if "\n.Sx PORT PARAMETERS ." in text:
            said |= port
        truth |= {f"{name} {p}" for p in parameters}
        page |= {f"{name} {p}" for p in said}
    return same(page, truth)


def check_drops():
    stats = call(SOCKET, "stats", "show")
    return same(items(section(PROTOCOL, "DROP REASONS"), "Cm"),
                set(stats["rx"]["drops"]) | set(stats["tx"]["drops"]))


def check_events():
    topics = set(re.findall(r'"((?:port|listener|fdb|config|access|monitor)\.[a-z]+)"',
                            sources()))
    return same(items(section(PROTOCOL, "EVENTS"), "Ic"),
                topics - set(methods()))


# Those that no client sees: they are of the start, of switchctl itself, or
# can't happen.
PRIVATE = {"bad-grant", "bad-index", "bad-memory", "bad-reply", "bad-request",
           "cannot-connect", "cannot-listen", "connection-lost", "given-twice",
           "handed-over", "index-taken", "no-cpu-port", "no-isolation",
           "no-answer", "no-name", "no-netlink", "no-random", "no-socket-path",
           "no-such-name", "no-switch", "no-worker", "no-xdp", "nobody-there",
           "not-fast", "not-held", "not-placed", "refused", "socket-in-use", "timeout"}


def check_reasons():
    found = set(re.findall(
        r'\b(?:error_set|rpc_fail)\([^;",]*,[^;",]*,\s*"([a-z]+(?:-[a-z]+)*)",',
        sources()))
    # Those that reach error_set() in a variable or as one of two.
    found |= set(re.findall(
        r'(?:"not-permitted"\s*:|\breason =)\s*"([a-z-]+)"', sources()))
    found |= set(re.findall(r'\bfail\(m, \w+, "([a-z-]+)"', sources()))
    return same(items(section(PROTOCOL, "REASONS"), "Cm"), found - PRIVATE)


def check_roles():
    """Which role each method needs: the page against the daemon."""
    truth = {f"{m['name']} {m.get('x-access', 'admin')}"
             for m in call(SOCKET, "rpc", "discover")["methods"]
             if m["name"] != "rpc.discover"} | {"rpc.discover viewer"}
    text = re.search(r"^\.Ss Roles\n(.*?)(?=^\.S[hs] )",
                     section(PROTOCOL, "METHODS"), re.S | re.M).group(1)
    page = set()
    for role, item in re.findall(r"^\.It Ql (\w+)\n(.*?)(?=^\.(?:It|El))",
                                 text, re.S | re.M):
        for line in re.findall(r"^\.Ic (.*)$", item, re.M):
            page |= {f"{word} {role}" for word in line.split() if word != ","}
    return same(page, truth)


def check_conf():
    text = read("switchd/config.c")
    tables = dict(re.findall(r"rpc_param (\w+)\[\] = \{(.*?)\n\};", text,
                             re.S))
    good = True
    for title, table in (("daemon", "daemon_params"),
                         ("switch", "config_switch_params"),
                         ("mirrors", "config_mirror_params"),
                         ("fdb", "config_fdb_params")):
        page = re.search(rf"^\.Ss {title}\n(.*?)(?=^\.S[hs] )", CONF,
                         re.S | re.M).group(1)
        keys = set(re.findall(r'(?:PARAM_\w+\(|\.name = )"([a-z-]+)"',
                              tables[table]))
        good = same(items(page, "Cm"), keys) and good
    page = re.search(r"^\.Ss What is allowed\n(.*?)(?=^\.S[hs] )", CONF,
                     re.S | re.M).group(1)
    keys = set(re.findall(r'(?:PATTERNS\(|\.name = )"([a-z]+)"',
                          read("switchd/policy.c")))
    good = same(items(page, "Cm"), keys) and good
    page = re.search(r"^\.Ss Roles\n(.*?)(?=^\.S[hs] )", CONF,
                     re.S | re.M).group(1)
    text = read("switchd/roles.c")
    words = re.search(r"role_words\[.*?\{(.*?)\};", text, re.S).group(1)
    keys = set(re.findall(r'"([a-z]+)"', words)) - {"none"}
    keys |= set(re.findall(r'strcmp\(key, "([a-z]+)"\)', text))
    return same(items(page, "Cm"), keys) and good


def check_guests():
    """The README's table of guests: its tests are there, and so are all
    types of ports and kinds of listeners, a guest's or not."""
    table = re.search(r"^program +port +test\n([- ]+)\n(.*?)\n\n",
                      read("README"), re.S | re.M)
    at, test = (m.start() for m in list(re.finditer("-+", table[1]))[1:])
    good, types = True, set()
    for line in table[2].splitlines():
        types.add(line[at:test].strip())
        for name in line[test:].replace(",", " ").split():
            if not any(os.access(f"{SRC}/tests/{path}", os.X_OK) for path in
                       (f"guests/{name}.py", f"e2e/{name}.sh")):
                print(f"no such test: {name}")
                good = False
    types -= {"", "(not tried)"}
    known = {value for m in call(SOCKET, "rpc", "discover")["methods"]
             if m["name"] in ("port.attach", "listener.add")
             for p in m["params"] if p["name"] == "type"
             for value in p["schema"]["enum"]}
    return same(types, known - {"dummy", "pcap"}) and good


def examples():
    """Writes the configurations in the page to files."""
    blocks = [b for b in re.findall(
        r"^\.Bd -literal -offset indent\n(.*?)^\.Ed", CONF, re.S | re.M)
        if b.startswith("{")]
    for number, block in enumerate(blocks):
        with open(f"{os.environ['T']}/example{number}.json", "w",
                  encoding="utf-8") as file:
            file.write(block)
    return len(blocks) == 7


def readme():
    """Writes the README's commands as a script."""
    text, lines = read("README"), iter(read("README").splitlines())
    with open(os.environ["T"] + "/readme", "w", encoding="utf-8") as file:
        for line in lines:
            if not line.startswith("    # "):
                continue
            command = line[6:]
            while command.endswith("\\"):
                command += "\n" + next(lines)
            if "type=slirp" in command and not os.path.exists(
                    os.environ["SWITCHD_SLIRP"]):
                continue  # built without it
            file.write(command + "\n")
    return text.count("\n    # ") > 20


sys.exit(not globals()[sys.argv[1]]())
END
export SRC BUILD T SOCKET SWITCHCTL
check() {
	/usr/bin/python3 -B "$T/check.py" "$1"
}

switchd_start
claim "switchd-protocol(7) has the daemon's methods" check check_methods
claim "switchd-protocol(7) has their parameters" check check_parameters
claim "switchd-protocol(7) has the drop reasons" check check_drops
claim "switchd-protocol(7) has the events" check check_events
claim "switchd-protocol(7) has the reasons of errors" check check_reasons
claim "and the roles that methods need" check check_roles
claim "switchd.conf(5) has the keys of the configuration" check check_conf
claim "the README's table of guests has all types, and tests that there are" \
	check check_guests
claim "the switch ends" switchd_stop

# ---- examples --------------------------------------------------------------

ns_add wire
full=$(ns_name sw)
ip link add eth1 netns "$full" type veth peer name eth0 \
	netns "$(ns_name wire)"
ip -n "$full" link set eth1 up
ip -n "$(ns_name wire)" addr add 192.0.2.1/24 dev eth0
ip -n "$(ns_name wire)" link set eth0 up

# Commands in the switch's namespace, with an empty /run and /var/tmp.
stage() { # SCRIPT
	cat >"$T/stage" <<-END
		set -euo pipefail -v
		export PATH=$BUILD/switchd:$BUILD/control/switchctl:\$PATH
		mount -t tmpfs tmpfs /run
		mount -t tmpfs tmpfs /var/tmp
		mkdir /run/netns
	END
	cat "$1" >>"$T/stage"
	ns_exec sw unshare --mount bash "$T/stage" </dev/null
}

# Ends what runs in there.
stage_end() {
	local pid
	for pid in $(ip netns pids "$full"); do
		kill -TERM "$pid"
	done
	wait_until 10 stage_is_empty
}

stage_is_empty() {
	[[ -z $(ip netns pids "$full") ]]
}

# Where the users and groups of the examples are known.
loads() { # FILE
	cat >"$T/load" <<-END
		mount --bind $T/passwd /etc/passwd
		mount --bind $T/group /etc/group
		switchd -c $1
		switchctl -j config show
	END
	stage "$T/load" && stage_end
}
cp /etc/passwd /etc/group "$T"
for user in alice libvirt-qemu; do
	grep -q "^$user:" "$T/passwd" ||
		echo "$user:x:4321:4321::/:/bin/false" >>"$T/passwd"
done
for group in switchd ops users; do
	grep -q "^$group:" "$T/group" || echo "$group:x:4321:" >>"$T/group"
done

claim "switchd.conf(5) has seven examples" check examples
for i in 0 1 2 3 4 5 6; do
	claim "example $i of switchd.conf(5) loads" loads "$T/example$i.json"
done
claim "the sample configuration loads" loads "$SRC/etc/switchd.conf"

claim "the README's commands are found" check readme
cat >>"$T/readme" <<'END'
[[ -s /var/tmp/switchd.conf && -s /var/tmp/trace.pcapng ]]
ip netns del vm0
END
claim "the README's commands run as they stand" stage "$T/readme"
claim "the switch that they started ends" stage_end
finish
