#!/usr/bin/python3 -mpytest
# SPDX-License-Identifier: MIT
"""A Linux as router (tools/guest/linux/router, docs/routing.md). Its script without a machine, in network namespaces: what it makes of the words of its
command line; who reaches whom, and nobody else; what goes on when it is lost under a connection. And the router of ctl-dom/bundle on the machine."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile

from tests.lib.machine import ROOT, Failed, Machine, Skipped, check, make_www
from tests.lib.wait import until

SCRIPT = ROOT / "tools/guest/linux/router"
WORDS = ("router.outside=eth0:10.0.2.20/24,fd00::20/64,gw=10.0.2.2", "router.inside=eth1:192.168.7.1/24,fd08::1/64,ra,dhcp=192.168.7.100-192.168.7.199,dns=10.0.2.3",
         "router.inside=eth2:10.0.2.129/28,fd07::1/64,fd00::1281/121,route,proxy,ra", "router.forward=tcp:8080:192.168.7.5:80",
         "router.forward=tcp:8081:[fd08::5]:80", "router.allow=tcp:10.0.2.130:80", "router.allow=icmp:[fd07::5],from=fd00::2", "router.allow=tcp:[fd07::6]:80",
         "router.allow=any:[fd00::1285]")


def rules(*words):
    with tempfile.NamedTemporaryFile("w") as f:
        f.write("console=hvc0 bh.role=router " + " ".join(words) + "\n")
        f.flush()
        return subprocess.run(["busybox", "sh", SCRIPT, "rules"], env={**os.environ, "CMDLINE": f.name}, capture_output=True, text=True, check=False)


OUT, IN = WORDS[:2]


MISTAKES = [
    ((IN,), "router.outside=: there is none"), ((OUT,), "router.inside=: there is none"), ((OUT, OUT, IN), "there is one already"),
    ((OUT, "router.inside=eth0:192.168.7.1/24"), "an interface is there twice"), ((OUT, IN, "router.mode=bridge"), "it is nat or route"),
    ((OUT, IN, "router.alow=any:192.168.7.5"), "is none of router.outside="), ((OUT, "router.inside=192.168.7.1/24"), "begins with an interface"),
    ((OUT, "router.inside=eth1:192.168.7.256/24"), "'192.168.7.256/24' is no ADDRESS/LENGTH"), ((OUT, "router.inside=eth1:10.1.1.1"), "'10.1.1.1' is no"),
    ((OUT, "router.inside=eth1:10.1.1.1/33"), "'10.1.1.1/33' is no"), ((OUT, "router.inside=eth1:fd00:::1/64"), "'fd00:::1/64' is no"),
    ((OUT, "router.inside=eth1:nat"), "it has no address"), ((OUT, IN + ",proxy"), "proxy is for route"),
    ((OUT, "router.inside=eth1:fd07::1/80,ra"), "ra without an IPv6 address of a /64"), ((OUT, IN.replace("fd08::1/64,", "")), "ra without"),
    ((OUT, "router.inside=eth1:fd07::1/64,dhcp=10.0.0.1-10.0.0.9"), "without an IPv4 address"), ((OUT, IN, "router.forward=icmp:1:10.0.0.1:1"), "neither tcp nor udp"),
    ((OUT, IN, "router.forward=tcp:0:192.168.7.5:80"), "'0' is no port"), ((OUT, IN, "router.forward=tcp:80:192.168.7.5"), "'' is no port"),
    ((OUT, IN, "router.forward=tcp:80:web:80"), "'web' is no address"), ((OUT, IN, "router.allow=tcp:192.168.7.5"), "'' is no port"),
    ((OUT, IN, "router.allow=icmp:192.168.7.5:7"), "icmp has no port"), ((OUT, IN, "router.allow=any:192.168.7.5,from=fd00::1"), "no address of the kind"),
    ((OUT, IN, "router.allow=all:192.168.7.5"), "none of tcp, udp, icmp, any"),
    (("router.outside=eth0:10.0.2.20/24", IN, "router.forward=tcp:80:[fd07::5]:80"), "the outside has no address of that kind")]


def test_router_words():
    """What is not understood is said, with the word, and there are no rules."""
    check(rules(*WORDS).returncode == 0, f"what is right is refused: {rules(*WORDS).stderr}")
    for words, why in MISTAKES:
        got = rules(*words)
        check(got.returncode == 1 and why in got.stderr and not got.stdout, f"{words}: {got}")


class Namespaces:
    """An outside host, the router, and a host on each of its inside networks."""
    HOSTS = {"out": ("10.0.2.2/24", "fd00::2/64"), "nat": ("192.168.7.5/24", "fd08::5/64"),
             "routed": ("10.0.2.130/28", "fd07::5/64", "fd07::6/64", "fd00::1285/121")}

    def __init__(self):
        self.name = f"bulkhead-router{os.getpid()}"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bh-router-"))
        (self.dir / "cmdline").write_text(" ".join(WORDS))
        (self.dir / "www").mkdir()
        (self.dir / "www/index.html").write_text("here\n")
        self.lives, self.served, self.router = 0, [], "router"

    def ns(self, host, *command, env=None):
        got = subprocess.run(["ip", "netns", "exec", f"{self.name}-{host}", *command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             timeout=60, check=False, env={**os.environ, **(env or {})})
        return got.stdout + got.stderr, got.returncode

    def must(self, host, *command, env=None):
        out, status = self.ns(host, *command, env=env)
        check(status == 0, f"{host}: {' '.join(map(str, command))}: {out}")
        return out

    @staticmethod
    def must_run(*command):
        got = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        check(got.returncode == 0, f"{' '.join(command)}: {got.stderr}")

    def serve(self, host, *command):
        self.served.append(subprocess.Popen(["ip", "netns", "exec", f"{self.name}-{host}", *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL))

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def up(self):
        for host in (*self.HOSTS, "router"):
            got = subprocess.run(["ip", "netns", "add", f"{self.name}-{host}"], capture_output=True, text=True, check=False)
            if got.returncode:
                raise Skipped(f"no network namespaces: {got.stderr.strip()}")
        for n, (host, addresses) in enumerate(self.HOSTS.items()):
            self.must(self.router, "ip", "link", "add", f"keep{n}", "type", "veth", "peer", "name", "eth0", "netns", f"{self.name}-{host}")
            for address in addresses:
                self.must(host, "ip", "addr", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
            self.must(host, "ip", "link", "set", "eth0", "up")
            self.must(host, "ip", "link", "set", "lo", "up")
            self.serve(host, "busybox", "httpd", "-f", "-p", "80", "-h", str(self.dir / "www"))
            self.must(self.router, "ip", "link", "set", f"keep{n}", "name", f"eth{n}")
        self.start()
        for host, gateways in (("nat", ("192.168.7.1", "fd08::1")), ("routed", ("10.0.2.129", "fd07::1"))):
            for gateway in gateways:
                self.must(host, "ip", "route", "add", "default", "via", gateway, "metric", "100")  # beside what is announced
        self.must("out", "ip", "route", "add", "fd07::/64", "via", "fd00::20")
        self.must("out", "ip", "addr", "add", "10.9.9.9/32", "dev", "lo")

    def start(self):
        """The script as /init and the kernel call it, in a life of its own."""
        self.lives += 1
        self.env = {"CMDLINE": str(self.dir / "cmdline"), "RUN": str(self.dir / f"run{self.lives}")}
        out, _ = self.ns(self.router, "busybox", "sh", str(SCRIPT), "start", env=self.env)  # drivers and the size of a table are the machine's, not a namespace's
        if "Operation not supported" in out:
            raise Skipped("this kernel has no nftables")
        check("nothing is forwarded" not in out, f"start: {out}")
        for n in range(3):
            self.comes(f"eth{n}")

    def comes(self, name):
        self.must(self.router, "busybox", "sh", str(SCRIPT), "uevent", env={**self.env, "ACTION": "add", "SUBSYSTEM": "net", "INTERFACE": name})

    def comes_again(self, name):
        self.must(self.router, "ip", "link", "set", name, "down")
        self.must(self.router, "ip", "link", "set", name, "name", "eth7")
        self.must(self.router, "ip", "addr", "flush", "dev", "eth7")
        self.comes("eth7")

    def announcer_stays(self, name):
        """The second process of who announces its prefix, which has the lock, outlives the first for a while."""
        first = int((pathlib.Path(self.env["RUN"]) / f"{name}.ra").read_text())
        second = pathlib.Path(f"/proc/{first}/task/{first}/children").read_text().split()
        check(second, "it has but one process")
        os.kill(int(second[0]), signal.SIGSTOP)

    def lost(self):
        """Another kernel in its place, as after a kill: nothing is left of rules, states and set-up."""
        old, self.router = self.router, f"router{self.lives + 1}"
        self.must_run("ip", "netns", "add", f"{self.name}-{self.router}")
        for n, name in enumerate(("outside", "inside", "inside2")):
            self.must(old, "ip", "link", "set", name, "netns", f"{self.name}-{self.router}", "name", f"eth{n}")
        self.start()

    def __exit__(self, *exc):
        for p in self.served:
            p.kill()
            p.wait()
        for host in (*self.HOSTS, "router", *(f"router{n}" for n in range(2, self.lives + 1))):
            pids = subprocess.run(["ip", "netns", "pids", f"{self.name}-{host}"], capture_output=True, text=True, check=False).stdout.split()
            if pids:
                subprocess.run(["kill", "-9", *pids], check=False)
            subprocess.run(["ip", "netns", "del", f"{self.name}-{host}"], capture_output=True, check=False)
        subprocess.run(["rm", "-rf", str(self.dir)], check=False)

    def gets(self, host, where):
        address, port = where if isinstance(where, tuple) else (where, 80)
        out, _ = self.ns(host, "timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port} && printf 'GET /index.html HTTP/1.0\r\n\r\n' >&3 && cat <&3")
        return out.endswith("here\n")

    def pings(self, host, where):
        return self.ns(host, "ping", "-c", "1", "-W", "1", where)[1] == 0


# A byte now and then from who listens to who came, who keeps their number.
SENDER = """import socket, sys, time
s = socket.create_server(("", int(sys.argv[1])))
c, _ = s.accept()
while True:
    c.sendall(b"x")
    time.sleep(0.05)
"""
RECEIVER = """import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
c.settimeout(None)
with open(sys.argv[3], "ab", 0) as f:
    while data := c.recv(100):
        f.write(data)
"""


def test_router_namespaces():
    with Namespaces() as n:
        until(lambda: n.gets("nat", "10.0.2.2"), bool, "the translated host does not reach the outside")
        until(lambda: n.gets("routed", "10.0.2.2"), bool, "the routed host does not reach the outside")
        for host, wherever in (("nat", ("10.0.2.2", "10.9.9.9", "192.168.7.1", "10.0.2.20")), ("routed", ("10.0.2.2", "fd00::2", "10.0.2.129")), ("out", ("10.0.2.20", "fd07::5"))):
            for where in wherever:
                until(lambda h=host, a=where: n.pings(h, a), bool, f"{host} has no answer from {where}")
        for host, where, may in (("out", ("10.0.2.20", 8080), True), ("out", ("fd00::20", 8081), True), ("out", "10.0.2.130", True),
                                 ("out", "fd07::6", True), ("out", "fd00::1285", True), ("out", "fd08::5", False), ("nat", "fd00::2", True), ("nat", "fd07::5", False), ("nat", "10.0.2.130", True), ("routed", "fd00::2", True),
                                 ("out", "10.0.2.20", False), ("out", "192.168.7.5", False), ("out", "fd07::5", False), ("routed", "192.168.7.5", False),
                                 ("routed", ("10.0.2.20", 8080), False)):
            check(n.gets(host, where) == may, f"{host} {'does not reach' if may else 'reaches'} {where}")
        check(not n.pings("out", "10.0.2.130"), "a routed host is pinged, which nothing allows")
        check(not n.pings("out", "fd00::1286"), "who is not there is pinged")
        out, status = n.ns("out", "busybox", "arping", "-c", "1", "-w", "1", "-I", "eth0", "192.168.7.1")
        check(status, f"an inside address is told outside: {out}")


def test_router_announced():
    """A guest that is told nothing has an address of the prefix, and the way out, translated or as itself; also once the router's interface was plugged again."""
    with Namespaces() as n:
        for host, name, prefix in (("nat", "", "fd08:"), ("routed", "", "fd07:"), ("nat", "inside", "fd08:")):
            if name:
                n.announcer_stays(name)
                n.comes_again(name)
            n.must(host, "ip", "-6", "addr", "flush", "dev", "eth0")
            n.must(host, "ip", "link", "set", "eth0", "down")
            n.must(host, "ip", "link", "set", "eth0", "up")
            until(lambda h=host: n.ns(h, "ip", "-6", "addr", "show", "dev", "eth0", "scope", "global")[0], lambda out, p=prefix: p in out,
                  f"{host} has no address")
            until(lambda h=host: n.gets(h, "fd00::2"), bool, f"{host} does not reach the outside")


# COUNT datagrams to the outside, each from another address and port of its network; from another station, too, if it is told `stations`, or from the one that it is told.
FLOOD = """import socket, struct, sys, random
count, mac, station = int(sys.argv[1]), bytes.fromhex(sys.argv[2].replace(":", "")), open("/sys/class/net/eth0/address").read()
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
def frame(n, mine):
    udp = struct.pack(">HHHH", random.randrange(1024, 65536), 53, 9, 0) + b"x"
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes((192, 168, 7, 20 + n % 200)), bytes((10, 0, 2, 2)))
    half = sum(struct.unpack(">10H", ip))
    half = ~((half & 0xffff) + (half >> 16)) & 0xffff
    return mac + mine + b"\\x08\\0" + ip[:10] + struct.pack(">H", half) + ip[12:] + udp
for n in range(count):
    mine = b"\\x02" + random.randbytes(5) if sys.argv[3:] == ["stations"] else bytes.fromhex((sys.argv[3:] or [station])[0].strip().replace(":", ""))
    s.send(frame(n, mine))
"""


def test_router_table():
    """Whatever addresses one sends from, it fills the table neither of connections that others have, nor its own network's; by addresses of stations that
    are not its own, which its bridge should stop, its own network's alone."""
    with Namespaces() as n:
        until(lambda: n.gets("nat", "10.0.2.2") and n.gets("routed", "10.0.2.2"), bool, "the router does not work")
        inside = n.must(n.router, "cat", "/sys/class/net/inside/address").strip()

        def flood(rule, most, *how):
            """Until that rule has dropped some; how many connections there are then."""
            for _ in range(40):
                n.must("nat", "python3", "-c", FLOOD, "3000", inside, *how)
                had = int(n.must(n.router, "cat", "/proc/sys/net/netfilter/nf_conntrack_count"))
                check(had < most, f"{rule}: {had} connections")
                if re.search(rf"{rule} }} counter packets [1-9]", n.must(n.router, "nft", "list", "chain", "inet", "router", "begins")):
                    return had
            raise Failed(f"{rule}: it drops nothing")

        flood("limit rate over 500/second burst 1000 packets", 2100)
        had = flood("ether saddr ct count over 2000", 4100, n.must("routed", "cat", "/sys/class/net/eth0/address"))
        check(had > 1900, f"one guest has but {had} connections")
        check(n.gets("routed", "10.0.2.2"), "one has what another network's guest may have, by its station's address")
        flood("iifname ct count over 4000", 4200, "stations")
        check(n.gets("routed", "10.0.2.2") and n.gets("out", "10.0.2.130"), "another network's connections have no room")


# COUNT frames that name an address each, or the same one all: `ping` the router from FROM; `ask` it by ARP and `ask6` it as a neighbour, from addresses of
# nobody; what it would `redirect`.
NAMES = """import socket, struct, sys
how, count, mac, source, to = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3].replace(":", "")), *sys.argv[4:6]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
mine = bytes.fromhex(open("/sys/class/net/eth0/address").read().strip().replace(":", ""))
def summed(head, b, at):
    got = sum(struct.unpack(f">{len(head + b) // 2}H", head + b))
    while got >> 16:
        got = (got & 0xffff) + (got >> 16)
    return b[:at] + struct.pack(">H", ~got & 0xffff) + b[at + 2:]
def ip4(source, to, b):
    return b"\\x08\\0" + summed(b"", struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(b), 0, 0, 64, 1, 0, socket.inet_aton(source), socket.inet_aton(to)), 10) + b
def ip6(source, to, b):
    both = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, to)
    return b"\\x86\\xdd" + struct.pack(">IHBB", 0x60000000, len(b), 58, 255) + both + summed(both + struct.pack(">II", len(b), 58), b, 2)
for n in range(count):
    if how == "ping":
        f = ip4(source, to, summed(b"", struct.pack(">BBHHH", 8, 0, 0, n, 1), 2))
    elif how == "ask":
        f = b"\\x08\\x06" + struct.pack(">HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, mine, struct.pack(">I", 0x0a090000 + n), bytes(6), socket.inet_aton(to))
    elif how == "ask6":
        f = ip6(f"{source}:{n:x}", to, struct.pack(">BBHI", 135, 0, 0, 0) + socket.inet_pton(socket.AF_INET6, to) + b"\\1\\1" + mine)
    else:
        f = ip6(f"{source}:{n:x}", f"{to}:{n:x}", struct.pack(">BBHHH", 128, 0, 0, n, 1))
    s.send(mac + mine + f)
"""


def dropped(n, rule, *where):
    return re.search(rf"{re.escape(rule)}[^\n]* counter packets [1-9]", n.must(n.router, "nft", "list", "chain", *where))


def test_router_claimed():
    """Who sends from an address that is another network's takes nothing that this address may have; a guest's lease begins without one."""
    with Namespaces() as n:
        until(lambda: n.gets("routed", "10.0.2.2"), bool, "the router does not work")
        for host, interface, to in (("out", "outside", "10.0.2.20"), ("nat", "inside", "192.168.7.1")):
            mac = n.must(n.router, "cat", f"/sys/class/net/{interface}/address").strip()
            n.must(host, "python3", "-c", NAMES, "ping", "50", mac, "10.0.2.130", to)
            out = n.must(n.router, "cat", "/proc/net/nf_conntrack") if os.path.exists("/proc/net/nf_conntrack") else n.must(n.router, "conntrack", "-L")
            check("icmp" not in out, f"{host} took some of what 10.0.2.130 may have: {out}")
        check(dropped(n, "oif missing", "inet", "router", "begins"), "nothing was dropped for its source")
        n.must("nat", "ip", "addr", "flush", "dev", "eth0")
        out, _ = n.ns("nat", "busybox", "udhcpc", "-n", "-q", "-f", "-i", "eth0", "-t", "3", "-s", "/bin/true")
        check("lease of 192.168.7.1" in out, f"DHCP: {out}")


def test_router_neighbours():
    """Nor does one fill the tables of neighbours, which all networks share, by asking from many addresses, or for the way to many."""
    with Namespaces() as n:
        until(lambda: n.pings("routed", "fd00::2") and n.gets("routed", "10.0.2.2"), bool, "the router does not work")
        mac = n.must(n.router, "cat", "/sys/class/net/inside/address").strip()
        for how, source, to, family, rule, chain in (("ask", "", "192.168.7.1", "-4", "20/second", ("arp", "router", "input")),
                                                     ("ask6", "fd08::1", "fd08::1", "-6", "20/second", ("inet", "router", "asks")),
                                                     ("redirect", "fd08::5", "fd08::2", "-6", "oif exists", ("inet", "router", "back"))):
            n.must("nat", "python3", "-c", NAMES, how, "1500", mac, source, to)
            had = len(n.must(n.router, "ip", family, "neigh", "show", "nud", "all", "dev", "inside").splitlines())
            check(had < 500, f"{how}: {had} neighbours")
            check(dropped(n, rule, *chain), f"{how}: nothing was dropped")
            for address in ("10.0.2.3", "fd00::3"):
                n.must("out", "ip", "addr", "add", f"{address}/{64 if ':' in address else 24}", "dev", "eth0", *(["nodad"] if ":" in address else []))
                until(lambda a=address: n.pings("routed", a), bool, f"{how}: the router finds nobody new")
                n.must("out", "ip", "addr", "del", f"{address}/{64 if ':' in address else 24}", "dev", "eth0")
                n.must(n.router, "ip", "neigh", "flush", "dev", "outside")


def test_router_lost():
    """Bytes go on that come from the outside to a routed host, and from a translated one by a port that is forwarded to it; neither's receiver sends anything."""
    with Namespaces() as n:
        until(lambda: n.gets("routed", "10.0.2.2") and n.gets("out", ("10.0.2.20", 8080)), bool, "the router does not work")
        (n.dir / "cmdline").write_text(" ".join(WORDS).replace("192.168.7.5:80", "192.168.7.5:7000"))
        n.lost()
        counts = [n.dir / "routed.bytes", n.dir / "translated.bytes"]
        for sender, receiver, where, port, count in (("out", "routed", "10.0.2.2", 7000, counts[0]), ("nat", "out", "10.0.2.20", 8080, counts[1])):
            n.serve(sender, "python3", "-c", SENDER, "7000")
            until(lambda h=sender: n.ns(h, "ss", "-tln")[0], lambda out: ":7000 " in out, "nobody listens")
            n.serve(receiver, "python3", "-c", RECEIVER, where, str(port), str(count))
            until(lambda c=count: c.exists() and c.stat().st_size, bool, f"nothing comes from {where}")
        n.lost()
        before = [c.stat().st_size for c in counts]
        for count, size in zip(counts, before):
            until(lambda c=count, s=size: c.stat().st_size > s + 20, bool, f"{count.stem}: nothing comes any more", 30)
        check(n.gets("out", "10.0.2.130") and not n.gets("out", "192.168.7.5"), "the next router is another one")


# --- on the machine ---------------------------------------------------------------------------------------------------
BRIDGES = "bridges=['net0=00:03.0','inside','inside2']"
GUESTS = {"translated": ("192.168.7.5/24", "192.168.7.1", "inside"), "routed": ("10.0.2.130/28", "10.0.2.129", "inside2")}


def created(m, line):
    out = m.cmd(f"create {line}", 60)
    check("created as domain" in out, f"create {line}: {out}")


def reaches(m, guest, ping="ping -c 1 -W 2 10.0.2.2", seconds=60):
    """The guest's console is attached."""
    until(lambda: m.guest(ping), lambda got: got[1] == 0, f"{guest} does not reach the outside", seconds)


def reached(m):
    """By debian, which is on the outside's bridge: where the configuration says so, and nowhere else."""
    m.console("debian")
    for where, may in (("10.0.2.20:8080", True), ("10.0.2.130", True), ("10.0.2.20", False), ("192.168.7.5", False)):
        if where == "192.168.7.5":
            m.guest("ip route add 192.168.7.0/24 via 10.0.2.20")
        out, _ = m.guest(f"timeout 3 wget -q -O - http://{where}/index.html")
        check(("here" in out) == may, f"debian {'does not reach' if may else 'reaches'} {where}: {out}")
    out, status = m.guest("ping -c 1 -W 2 10.0.2.130")
    check(status == 1, f"ping of a routed guest: {out}")
    m.leave()


def spoofed(m):
    row = re.search(r"^router +\d+ +(.*) net0$", m.cmd("network-list router"), re.M)
    return int(row.group(1).split()[4])


def taken_over(m):
    """What root in it can do to others."""
    net0, debian = (int(re.search(rf"^{name} +(\d+) ", m.cmd("list"), re.M).group(1)) for name in ("net0", "debian"))
    m.console("router")
    for line in ("ip addr add 10.0.2.15/32 dev outside; ping -c 1 -W 1 -I 10.0.2.15 10.0.2.2", "arping -c 1 -w 1 -U -I outside -s 10.0.2.15 10.0.2.15",
                 "ip link set outside down; ip link set outside address 00:16:3e:00:00:01; ip link set outside up; ping -c 1 -W 1 10.0.2.2"):
        m.leave()
        before = spoofed(m)
        m.console("router")
        m.guest(line)
        m.leave()
        until(lambda: spoofed(m), lambda n, b=before: n > b, f"{line}: no frame was refused", 10)
        m.console("router")
    for line in (f"write /local/domain/{debian}/device/vif/0/state 6", f"write /local/domain/{net0}/backend/vif/{debian}/0/state 6",
                 f"ls /local/domain/{debian}/device", f"rm /local/domain/{debian}", "write /vm/x 1"):
        out, status = m.guest(f"xenstore-{line}")
        check(status != 0, f"xenstore-{line} was allowed: {out}")
    m.leave()


def set_up(m):
    m.boot()
    m.cmd("destroy net0")
    created(m, f"net0 {BRIDGES}")
    created(m, "router")
    for name, (address, gateway, bridge) in GUESTS.items():
        created(m, f"debian2 name={name} memory=96 vcpus=1 vif=['bridge={bridge}'] "
                   f"extra='console=hvc0 quiet bh.host={name} bh.ip={address} bh.gw={gateway}'")
    for name in GUESTS:
        m.console(name)
        reaches(m, name)
        m.guest("mkdir -p /run/www; echo here > /run/www/index.html; httpd -h /run/www")
        if name == "translated":
            out, _ = m.guest("udhcpc -n -q -f -i eth0 -t 3 -s /bin/true 2>&1")
            check("lease of 192.168.7.1" in out, f"DHCP: {out}")
            reaches(m, name, "ping -6 -c 1 -W 2 fec0::2")  # from an address that it made by itself
        m.leave()


def crashed(m, digest):
    """Under a download of the routed guest, which goes on."""
    m.console("routed")
    rx = "cat /sys/class/net/eth0/statistics/rx_bytes"
    before = int(m.guest(rx)[0])
    m.guest("rm -f /run/sum; (wget -q -O - http://10.0.2.100/10mb.bin | sha256sum > /run/sum.new; mv /run/sum.new /run/sum) &")
    until(lambda: m.guest(rx), lambda got: int(got[0]) > before + 65536, "the download does not begin")
    m.leave()
    m.cmd("crash router")
    until(lambda: m.cmd("list router"), lambda out: re.search(r"^router +\d+ .*-b----", out, re.M), "the router does not come back", 60)
    m.console("routed")
    out, _ = until(lambda: m.guest("cat /run/sum"), lambda got: "-" in got[0], "the download does not go on", 60)
    check(digest in out, f"the download: {out}")
    m.leave()
    reached(m)


def made_anew(m):
    """And net0 after it, under a ping of the translated guest."""
    m.console("translated")
    m.guest("ping -i 0.5 10.0.2.2 > /run/pings 2>&1 &")
    m.leave()
    m.cmd("destroy router")
    created(m, "router")
    m.console("translated")
    reaches(m, "translated")
    m.leave()
    m.cmd("destroy net0")
    created(m, f"net0 {BRIDGES}")
    m.console("translated")
    reaches(m, "translated")
    had, _ = m.guest("grep -c 'bytes from' /run/pings")
    until(lambda: m.guest("grep -c 'bytes from' /run/pings"), lambda got: int(got[0]) > int(had), "the ping does not go on")
    m.guest("killall ping")
    m.leave()
    reached(m)


def test_router():
    www, digest = make_www()
    with Machine("router", www=www) as m:
        set_up(m)
        reached(m)
        crashed(m, digest)
        made_anew(m)
        taken_over(m)
