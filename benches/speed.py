#!/usr/bin/env python3
"""`meu` beside ninja, make, tup and git on one layered graph, and beside the machine's floors.

    python3 benches/speed.py [N …] [--rounds R] [--json FILE] [--peers ninja,make,tup]

Builds `meu` and `floor` in release, writes the same graph for each tool, N tasks (1,000 and 10,000 if none is given):
each requires one to three earlier ones, reads one of N/10 documents of 2 KB and writes 1 KB; task files have 600 bytes.
A task is a `template` for meu and a `cp` for the others; once more as a program, a `cat`. Runs are interleaved; medians of R (7) rounds are shown, with
the best of them, CPU time, peak memory, and ratios. Peers that are not installed are left out. At the end it tells how
much longer each took for ten times as much.
"""
import argparse, atexit, contextlib, json, os, pathlib, random, shutil, statistics, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent.parent
parser = argparse.ArgumentParser()
parser.add_argument("sizes", nargs="*", type=int)
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--json")
parser.add_argument("--peers", default="ninja,make,tup")
options = parser.parse_args()


def built():
    """The paths of meu and of floor."""
    subprocess.run(["cargo", "build", "-q", "--release"], cwd=HERE, check=True)
    said = subprocess.run(["cargo", "bench", "-q", "--bench", "floor", "--no-run", "--message-format=json"],
                          cwd=HERE, check=True, capture_output=True, text=True).stdout
    floors = [json.loads(line).get("executable") for line in said.splitlines()]
    return str(HERE / "target/release/meu"), next(path for path in floors if path and "floor" in path)


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def document(at, word):
    line = f"Line of document {at} about {word} and what follows from it for everybody here.\n"
    return f"# Document {at}\n\n" + line * (2000 // len(line))


def forget(root):
    """What searches and counts left."""
    shutil.rmtree(root / ".meu/corpus", ignore_errors=True)
    for name in ("state", "searched"):
        (root / ".meu" / name).unlink(missing_ok=True)


identity = lambda at: f"p{at // 100}/t{at}"


def generate(root, n):
    """The same graph for every tool, each in a folder of its name; `git` is meu's with everything committed."""
    numbers = random.Random(42)
    put(root / "meu/meu.toml", '[project]\nname = "bench"\n[context]\ntokenizer = "chars"\nbudget = 20000\n')
    ninja, make, tup = ["rule cp\n  command = cp $first $out\n"], [], []
    put(root / "programs/meu.toml", '[project]\nname = "bench"\n[context]\ntokenizer = "chars"\nbudget = 20000\n'
        'item_max = 4000\nindex = "none"\nsiblings = 0\n')
    for at in range(n // 10):
        for tool in [*tools, "programs"]:
            put(root / tool / f"docs/{at // 100}/d{at}.md", document(at, "kettles"))
    for at in range(n):
        links = sorted({numbers.randrange(at) for _ in range(min(at, numbers.randint(1, 3)))})
        doc = numbers.randrange(n // 10)
        doc = f"docs/{doc // 100}/d{doc}.md"
        names = ", ".join(f'"{identity(to)}"' for to in links)
        prompt = "A line of a prompt that says what this part is for and how long.\n" * 6
        put(root / f"meu/tasks/{identity(at)}.toml",
            f'title = "Task {at}"\nrun = "template"\nrequires = [{names}]\ninputs = ["{doc}"]\n'
            f'prompt = """\n{prompt}\n{{{{ text("doc:{doc}") }}}}\n"""\n')
        put(root / f"programs/tasks/{identity(at)}.toml",
            f'title = "Task {at}"\nrun = ["cat", "{doc}"]\nrequires = [{names}]\ninputs = ["{doc}"]\n'
            f'prompt = """\n{prompt}"""\n')
        outs = " ".join(f"out/{identity(to)}.md" for to in links)
        out = f"out/{identity(at)}.md"
        ninja.append(f"build {out}: cp {doc} | {outs}\n  first = {doc}\n")
        make.append(f"{out}: {doc} {outs}\n\t@cp {doc} {out}\n")
        tup.append(f": {doc} | {outs} |> cp {doc} %o |> {out}\n")
    if "ninja" in tools:
        put(root / "ninja/build.ninja", "".join(ninja))
    if "make" in tools:
        every = " ".join(f"out/{identity(at)}.md" for at in range(n))
        put(root / "make/Makefile", f".SUFFIXES:\nMAKEFLAGS += -rR\nall: {every}\n" + "".join(make))
        for at in range(0, n, 100):
            (root / f"make/out/p{at // 100}").mkdir(parents=True)
    if "tup" in tools:
        put(root / "tup/Tupfile", "".join(tup))
        subprocess.run(["tup", "init"], cwd=root / "tup", check=True, capture_output=True)


def memory(command, folder):
    """Peak memory in MB, as GNU time tells it; what this process forks counts with this process's own memory."""
    if not os.access("/usr/bin/time", os.X_OK):
        return None
    said = subprocess.run(["/usr/bin/time", "-f", "%M", *command], cwd=folder, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True).stderr
    return round(int(said.split()[-1]) / 1024, 1)


def took(command, folder):
    """Wall and CPU time in milliseconds."""
    began = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    wall = (time.perf_counter() - began) * 1e3
    child.returncode = status
    assert status == 0, (command, status)
    return wall, (used.ru_utime + used.ru_stime) * 1e3


rows = []
SAFE = ("no-op run", "status", "check")  # what may be done once more for its memory


def measure(what, n, commands, before=None, rounds=None):
    """`commands`: by name, (command, folder). The first one is meu's; ratios are to the others."""
    samples = {name: [] for name in commands}
    # What takes a few milliseconds is measured more often: a start is as long as what the machine does beside it.
    often = 7 if what in SAFE and n <= 1000 else 1
    for turn in range((rounds or options.rounds) * often):
        if before:
            before(turn)
        # Whoever comes first finds the machine asleep, so each does in turn.
        first = turn % len(commands)
        for name in [*commands][first:] + [*commands][:first]:
            samples[name].append(took(*commands[name]))
    row = {"what": what, "n": n}
    for name, taken in samples.items():
        wall, cpu = zip(*taken)
        row[name] = {"wall_ms": round(statistics.median(wall), 2), "best_ms": round(min(wall), 2),
                     "cpu_ms": round(statistics.median(cpu), 2), "memory_mb": memory(*commands[name]) if what in SAFE else None}
    rows.append(row)
    ours = row[next(iter(samples))]
    cells = [f"{ours['wall_ms']:.1f}", f"{ours['best_ms']:.1f}", f"{ours['cpu_ms']:.1f}", str(ours["memory_mb"] or "")]
    others = [f"{name} {row[name]['wall_ms']:.1f} ({ours['wall_ms'] / row[name]['wall_ms']:.2f}; best "
              f"{ours['best_ms'] / row[name]['best_ms']:.2f}; CPU {ours['cpu_ms'] / max(row[name]['cpu_ms'], 0.1):.2f})"
              for name in list(samples)[1:]]
    print(f"| {what} | {n:,} | " + " | ".join(cells) + " | " + ", ".join(others) + " |", flush=True)


meu, floor = built()
os.environ["MEU_TRUST"] = "1"  # the programs of these very graphs
tools = ["meu"] + [tool for tool in options.peers.split(",") if shutil.which(tool)]
print("| what | N | meu, ms | best | CPU | MB | peers, ms (meu / peer) |\n| --- | --- | --- | --- | --- | --- | --- |")
measure("start", 0, {"meu": ([meu, "--version"], "/"), "true": (["true"], "/")}, rounds=3 * options.rounds)
# Gone at the end, all at once: some file systems are slow at making files soon after others were removed.
folders = contextlib.ExitStack()
atexit.register(folders.close)
new_folder = lambda: pathlib.Path(folders.enter_context(tempfile.TemporaryDirectory()))
for n in options.sizes or [1000, 10_000]:
    root = new_folder()
    generate(root, n)
    ours = root / "meu"
    peer = {"ninja": ["ninja"], "make": ["make", "-j2", "-s"], "tup": ["tup", "-j2"]}
    peers = {tool: (peer[tool], root / tool) for tool in tools[1:]}
    first = {"meu": ([meu, "run", "-q"], ours), **peers}
    if n <= 10_000:
        first["writes alone"] = ([floor, "write", str(root / "w"), str(n)], root)
        programs = {"meu": ([meu, "run", "-q"], root / "programs")}
        if "ninja" in tools:
            programs["ninja"] = (["ninja"], shutil.copytree(root / "ninja", root / "ninja again"))
        programs["starts alone"] = ([floor, "start", str(n), "cat", "docs/0/d7.md"], ours)
        measure("first run, programs", n, programs, rounds=1)
    measure("first run, template", n, first, rounds=1)
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "b"]):
        subprocess.run(["git", *command], cwd=ours, check=True)
    listed = subprocess.run([floor, "list", *(str(ours / name) for name in ("tasks", "docs", "out"))],
                            check=True, capture_output=True, text=True).stdout
    (root / "list").write_text(listed)
    # Files that changed less than two seconds before they were read are read again; let them age, as in life.
    time.sleep(2.5)
    for _ in range(2):
        subprocess.run([meu, "run", "-q"], cwd=ours, check=True)
    floors = {f"stat, {threads} threads": ([floor, "stat", str(threads), str(root / "list")], root) for threads in (1, 2)}
    floors["walk"] = ([floor, "walk", *(str(ours / name) for name in ("tasks", "docs", "out"))], root)
    git = {"git status": (["git", "status", "--porcelain"], ours)}
    measure("no-op run", n, {"meu": ([meu, "run"], ours), **peers, **git, **floors})
    run = {"no-op run": ([meu, "run"], ours)}
    measure("status", n, {"meu": ([meu, "status"], ours), **run})
    measure("check", n, {"meu": ([meu, "check"], ours), **run})
    touch = lambda turn: os.utime(ours / "docs/0/d7.md")
    measure("one document touched", n, {"meu": ([meu, "run"], ours)}, before=touch)

    def edit(turn):
        for tool in tools:
            put(root / tool / "docs/0/d7.md", document(7, f"round {turn}"))

    everybody = {"meu": ([meu, "run"], ours), **peers}
    measure("one document edited", n, everybody, before=lambda turn: (time.sleep(2.2), edit(turn)))
    measure("one document edited, again at once", n, everybody, before=lambda turn: edit(-1 - turn))
    task = ours / f"tasks/{identity(n // 2)}.toml"
    reword = lambda turn: put(task, task.read_text().replace("A line", f"Round {turn}. A line", 1))
    measure("one task edited", n, {"meu": ([meu, "run"], ours)}, before=lambda turn: (time.sleep(2.2), reword(turn)))
    measure("evaluated anew", n, {"meu": ([meu, "status"], ours)},
            before=lambda turn: (ours / ".meu/seal").unlink(missing_ok=True))

for n in options.sizes or [1000, 10_000]:
    root = new_folder()
    words = "kettle river rope bridge spring water cart boat market ledger harbour winter candle lantern".split()
    numbers = random.Random(7)
    put(root / "meu.toml", '[context]\nretrieve = { k = 3, from = "documents", documents = ["docs/**/*.md"] }\n')
    put(root / "tasks/a.toml", 'prompt = "Say how the kettle boils."\n')
    for at in range(n):
        text = " ".join(numbers.choice(words) + str(numbers.randrange(50)) for _ in range(150))
        put(root / f"docs/{at // 100}/d{at}.md", f"# Page {at}\n\n{text}.\n")
    put(root / ".meu/.gitignore", "*\n")
    time.sleep(2.5)
    query = ([meu, "search", "kettle7 bridge3"], root)
    cold = lambda turn: forget(root)
    measure("search, index built", n, {"meu": query}, before=cold, rounds=min(options.rounds, 3))
    subprocess.run(query[0], cwd=root, check=True, capture_output=True)
    measure("search, one document changed", n, {"meu": query},
            before=lambda turn: put(root / "docs/0/d0.md", f"# Page 0\n\nkettle{turn} bridge3.\n"))
    time.sleep(2.5)
    subprocess.run(query[0], cwd=root, check=True, capture_output=True)
    measure("search", n, {"meu": query})
root = new_folder()
numbers = random.Random(3)
for at in range(50):
    lines = [f"Sentence {line} of page {at} is about {numbers.choice(words)} and {numbers.choice(words)}." for line in range(150)]
    put(root / f"docs/d{at}.md", f"# Page {at}\n\n" + "\n".join(lines) + "\n")
put(root / "meu.toml", "[context]\nbudget = 8000\n")
put(root / "tasks/a.toml", 'prompt = "Say how the kettle boils."\ninputs = ["docs/*.md"]\n')
put(root / ".meu/.gitignore", "*\n")
anew = lambda turn: forget(root)
context = ([meu, "context", "show", "a"], root)
measure("context of 50 items of 2,000 tokens", 1, {"meu": context}, before=anew)
time.sleep(2.5)
subprocess.run(context[0], cwd=root, check=True, capture_output=True)
measure("the same, its counts known", 1, {"meu": context})
walls = {(row["what"], row["n"]): row["meu"]["wall_ms"] for row in rows}
print("\n| ten times as much | from N | times as long |\n| --- | --- | --- |")
for (what, n), wall in walls.items():
    if (what, 10 * n) in walls and n > 0:
        print(f"| {what} | {n:,} | {walls[what, 10 * n] / wall:.1f} |")
if options.json:
    pathlib.Path(options.json).write_text(json.dumps(rows, indent=1))
