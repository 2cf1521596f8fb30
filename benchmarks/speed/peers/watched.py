"""Runs a script as it is, and says at its end what memory its process took: ``watched.py SCRIPT WORDS...``."""

import atexit
import runpy
import sys


def tell_memory() -> None:
    torch = sys.modules.get("torch")
    if torch is None:
        return  # it ended before it trained
    peak = torch.cuda.max_memory_reserved() if torch.cuda.is_available() else 0
    if not peak:  # nothing was on a GPU; ru_maxrss would count what started this process, too
        with open("/proc/self/status") as file:
            peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
    print(f"peak memory: {peak} bytes", flush=True)


atexit.register(tell_memory)
sys.argv = sys.argv[1:]
sys.path[0] = ""  # as if the script had been started in this folder
runpy.run_path(sys.argv[0], run_name="__main__")
