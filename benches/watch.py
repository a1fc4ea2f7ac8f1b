#!/usr/bin/env python3
"""From a save to "stale" shown by `meu watch`, beside a bare `meu status` of the same project.

    python3 benches/watch.py [TASKS]        after `cargo build --release`

A project of TASKS tasks (1,000), each reading one of TASKS/10 documents and, but for the first hundred, an earlier
task. One document is edited, 21 times; `meu watch -n` tells what is stale, and a `meu status` runs beside it in turn.
Prints medians in milliseconds and their ratio. The watch has its process already, and the status has to start one.
"""
import json, os, pathlib, statistics, subprocess, sys, tempfile, time

tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
meu = pathlib.Path(__file__).resolve().parent.parent / "target/release/meu"
rounds = 21

with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    (root / "docs").mkdir()
    (root / "meu.toml").write_text('[context]\ntokenizer = "chars"\n')
    for at in range(tasks // 10):
        (root / f"docs/d{at}.md").write_text(f"# Page {at}\n\n" + "Some words of it. " * 110)
    for at in range(tasks):
        place = root / f"tasks/p{at // 100}"
        place.mkdir(parents=True, exist_ok=True)
        requires = f'requires = ["p{(at - 100) // 100}/t{at - 100}"]\n' if at >= 100 else ""
        document = f"docs/d{at % (tasks // 10)}.md"
        prompt = f'Part {at}.\n{{{{ text("doc:{document}") }}}}\n' + "Write it as the others are written. " * 14
        (place / f"t{at}.toml").write_text(
            f'run = "template"\ninputs = ["{document}"]\n{requires}prompt = """{prompt}"""\n')
    environment = {**os.environ, "HOME": folder}
    run = lambda *words: subprocess.run([meu, *words], cwd=root, env=environment, stdout=subprocess.DEVNULL, check=True)
    run("run")
    run("run")
    # Stats of files that are too young are not trusted; wait until all are old.
    time.sleep(2.5)
    run("status")
    watch = subprocess.Popen([meu, "watch", "-n", "--json"], cwd=root, env=environment, stdout=subprocess.PIPE, text=True)
    assert json.loads(watch.stdout.readline())["event"] == "settled"
    saved, bare = [], []
    document = root / "docs/d0.md"
    for number in range(rounds):
        begin = time.perf_counter()
        document.write_text(f"# Page 0\n\nEdited {number}.\n" + "Some words of it. " * 110)
        told = json.loads(watch.stdout.readline())
        saved.append(time.perf_counter() - begin)
        assert told["event"] == "stale" and told["tasks"], told
        time.sleep(0.6)
        begin = time.perf_counter()
        run("status")
        bare.append(time.perf_counter() - begin)
    watch.kill()
    one, other = (statistics.median(times) * 1000 for times in (saved, bare))
    print(f"{tasks} tasks: save to stale shown {one:.0f} ms, bare status {other:.0f} ms, ratio {one / other:.2f}")
