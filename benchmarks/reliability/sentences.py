"""What each part did and what came of it, in words, from its figures."""

from __future__ import annotations

from typing import Any


def sentences(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """For each part that has been run: what was done, and what came of it."""
    said: dict[str, tuple[str, str]] = {}
    if storm := found.get("storm"):
        warm, cold = storm["warm"], storm["cold"]
        said["storm"] = (
            f"{warm['kills']:,} SIGKILLs of running processes, {cold['kills']} of cold starts",
            f"{equal(warm)} and {equal(cold)} runs ended with the undisturbed weights, bit for bit; at most "
            f"{warm['steps_redone_most']} steps redone, the interval (mean {warm['steps_redone_mean']:.1f}); from a cold "
            f"start to the next step {seconds(cold)}",
        )
    if ranks := found.get("ranks"):
        said["ranks"] = (
            f"{ranks['kills']} SIGKILLs of one of two processes under torchrun",
            f"{equal(ranks)} runs ended with the weights of the undisturbed run of two, bit for bit, and with each of its "
            f"losses; from the kill to the next step {seconds(ranks)}",
        )
    if world := found.get("world"):
        rows = world["strategies"].values()
        total = {name: sum(row[name] for row in rows) for name in ("kills", "rounds", "order_equal")}
        furthest, moved = (max(row[f"{name}_difference_most"] for row in rows) for name in ("loss", "weight"))
        said["world"] = (
            f"{total['rounds']} runs on {', '.join(map(str, world['worlds'][:-1]))} and {world['worlds'][-1]} processes in turn, "
            f"under {', '.join(world['strategies'])}, {total['kills']} SIGKILLs in between",
            f"{total['order_equal']}/{total['rounds']} read the tokens of an undisturbed run of one process, in its order; no "
            f"loss of {world['steps']} steps differs by more than {furthest:.1e}, no weight at the end by more than {moved:.1e}",
        )
    if watched := found.get("supervision"):
        rows = [watched[kind] for kind in ("killed", "stopped", "stuck")]
        n = sum(row["faults"] for row in rows)
        said["supervision"] = (
            f"{n} times one of two processes under `gptmill launch` was killed, stopped or stuck; a process that always dies at one "
            "step; what listens",
            f"{sum(row['same_weights_as_undisturbed'] for row in rows)}/{len(rows)} runs ended with the undisturbed weights, bit "
            f"for bit; noticed within {max(row['seconds_until_noticed']['most'] for row in rows):.1f} s, the next step after "
            f"{max(row['seconds_until_the_next_step']['p95'] for row in rows):.1f} s (95th percentile of the slowest kind); given up "
            f"after {watched['crash_loop']['starts']} deaths at one step; {len(watched['listeners']['gptmill_launch'])} listeners beyond "
            f"this machine (torchrun --standalone: {len(watched['listeners']['torchrun_standalone'])})",
        )
    if strategies := found.get("strategies"):
        rows = strategies["rows"]
        furthest, moved = (max(row[f"largest_{name}_difference"] for row in rows) for name in ("loss", "weight"))
        off = max(abs(row["bytes_measured"] / row["bytes_planned"] - 1) for row in rows)
        said["strategies"] = (
            f"20 steps by {' and '.join(str(n) for n in sorted({row['processes'] for row in rows}))} processes under "
            f"{', '.join(dict.fromkeys(row['strategy'] for row in rows))}, beside one process",
            f"losses within {furthest:.1e}, weights within {moved:.1e}; bytes of weights and moments within {off:.1%} of the plan's",
        )
    if calls := found.get("syscalls"):
        said["syscalls"] = (
            f"SIGKILL at {calls['calls']} system calls in turn, {calls['calls_on_checkpoints']} of them on checkpoints",
            f"{lost(calls)}; every checkpoint that has its name was whole",
        )
    if behind := found.get("behind"):
        calls, storm = behind["calls"], behind["storm"]
        said["behind"] = (
            f"checkpoints written while training goes on: SIGKILL at {calls['calls']} of their calls, {storm['kills']} at "
            "random",
            f"{lost(calls)}; {equal(storm)} runs ended with the undisturbed weights, bit for bit; at most "
            f"{storm['steps_redone_most']} steps redone",
        )
    if disk := found.get("disk"):
        once, lasting = disk["once"], disk["from_then_on"]
        said["disk"] = (
            f"ENOSPC, EDQUOT and EIO at each of the {once['calls']} calls of a save, once and from then on; "
            f"{disk['full_tmpfs'].get('sizes', 0)} full disks; {disk['limited_files']['sizes']} limits on file size",
            f"{lost(once, lasting, disk['full_tmpfs'], disk['limited_files'])}; "
            f"{once['trained_to_the_end'] + lasting['trained_to_the_end']}/{once['trials'] + lasting['trials']} trained on; "
            f"{once['path_named'] + lasting['path_named']}/{once['trials'] + lasting['trials']} named a path of the run",
        )
    if power := found.get("power"):
        said["power"] = (
            f"{power['cuts']} power cuts (ext4; {power['in_a_save']} in the middle of a save)",
            f"{power['recovered']}/{power['cuts']} recovered, from the last checkpoint that was said to be saved",
        )
    if damage := found.get("corruption"):
        said["corruption"] = (
            f"{damage['damaged']:,} damaged files in the newest checkpoint",
            f"{damage['found']:,}/{damage['damaged']:,} found, and the newest good one named; "
            f"{equal(damage, 'resumed')} resumed from it to the undisturbed weights",
        )
    if second := found.get("second"):
        said["second"] = (
            f"{second['tries']} second processes on a run folder in use",
            f"{second['refused']}/{second['tries']} refused with exit code 75 and the pid; the first never noticed",
        )
    if diverging := found.get("diverging"):
        said["diverging"] = (
            f"{diverging['runs']} runs whose learning rate breaks the model",
            f"{diverging['stopped']}/{diverging['runs']} stopped by themselves; {diverging['poisoned']} checkpoints held "
            "weights that are no numbers",
        )
    return said


def sentences_on_inputs(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    said: dict[str, tuple[str, str]] = {}
    if matrix := found.get("matrix"):
        said["matrix"] = (
            f"{matrix['keys']} keys of a config changed before a resume, by a flag and by a file",
            f"by a flag {matrix['by_flag']['free'] + matrix['by_flag']['rounding']} taken, "
            f"{matrix['by_flag']['needs a flag']} taken and said, {matrix['by_flag']['refused']} refused; {matrix['silent']} silent",
        )
    if configs := found.get("configs"):
        said["configs"] = (
            f"{configs['cases']:,} configs broken in {configs['kinds']} ways",
            f"{configs['tracebacks']} tracebacks: a line or two each, within {configs['seconds_most_allowed']} s",
        )
    if data := found.get("data"):
        said["data"] = (
            f"{data['cases']:,} damaged token files, headers and texts",
            f"{data['tracebacks']} tracebacks: read as their bytes say, or one sentence, within "
            f"{data['seconds_most_allowed']:.0f} s and {data['bytes_most_allowed'] >> 20} MiB",
        )
    if payloads := found.get("payloads"):
        wrong = {failure.partition(": ")[0] for failure in payloads["failures"]}
        said["payloads"] = (
            f"{payloads['payloads']} hostile files at {len(payloads['places'])} places ({payloads['cases']:,} cases), "
            f"{payloads['forged_claims']:,} forged manifests and states",
            f"nothing ran, though {payloads['live']} do in what they are made for; at most {payloads['seconds_most']:.1f} s of "
            f"processor time and {payloads['bytes_grown_most'] >> 20} MiB; {len(wrong)} cases went wrong otherwise",
        )
    if secrets := found.get("secrets"):
        said["secrets"] = (
            f"{secrets['planted']} secrets, {secrets['commands']} commands",
            f"found in {len(secrets['found'])} of {secrets['files']} files and of all that was printed",
        )
    if network := found.get("network"):
        said["network"] = (
            f"system calls of {len(network['commands'])} commands",
            "no connection and no listener; programs started: " + ", ".join(network["programs"]),
        )
    return said


def equal(figures: dict[str, Any], of: str = "runs") -> str:
    return f"{figures['weights_equal']}/{figures[of]}"


def seconds(figures: dict[str, Any]) -> str:
    return f"{figures['seconds_to_next_step_p50']:.1f} s (95th percentile {figures['seconds_to_next_step_p95']:.1f} s)"


def lost(*figures: dict[str, Any]) -> str:
    n = sum(len(part.get("failures", ())) for part in figures)
    return f"{n} lost anything" if n else "nothing was lost"
