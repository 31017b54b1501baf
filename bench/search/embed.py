"""mobilenet embed beside mobilenet predict, on the same photos, in alternation.

    go build -o mobilenet ./cmd/mobilenet
    python3 bench/search/embed.py ./mobilenet WEIGHTS [--photos 500] [--rounds 5]

Both are whole processes, from the command line to the results: a CSV of predict's, an index of embed's. The photos are JPEG
files of 500x375 that are made. Embed's rate, of predict's, is predict's time by embed's: of the least and of the median of the
rounds, and of the processor time, which other programs on the machine disturb less.
"""
import argparse
import os
import resource
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from common import photos, processor, whole_process


def timed(command):
    """Returns the seconds of a command, and those of all cores."""
    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    took, _ = whole_process(command)
    return took / 1000, used() - before


def main():
    args = argparse.ArgumentParser()
    args.add_argument("binary")
    args.add_argument("weights")
    args.add_argument("--photos", type=int, default=500)
    args.add_argument("--rounds", type=int, default=5)
    args = args.parse_args()
    with tempfile.TemporaryDirectory() as dir:
        made, index = os.path.join(dir, "photos"), os.path.join(dir, "x.mnidx")
        os.mkdir(made)
        photos(made, args.photos)
        commands = {
            "predict": [args.binary, "predict", "-m", args.weights, "--format", "csv", made],
            "embed": [args.binary, "embed", "-m", args.weights, "-o", index, made],
        }
        timed(commands["predict"])  # the files and the packed weights are in memory then
        rounds = {name: [] for name in commands}
        for i in range(args.rounds):
            for name in sorted(commands, reverse=i % 2 == 0):
                rounds[name].append(timed(commands[name]))
                if name == "embed":
                    os.remove(index)
    print("%s, %d photos, %d rounds in alternation" % (processor(), args.photos, args.rounds))
    print("| seconds | predict | embed | embed's rate of predict's |\n|---|---|---|---|")
    for what, of, column in (("wall, least", min, 0), ("wall, median", statistics.median, 0), ("processor, least", min, 1), ("processor, median", statistics.median, 1)):
        p, e = (of([r[column] for r in rounds[name]]) for name in ("predict", "embed"))
        print("| %s | %.2f | %.2f | %.1f %% |" % (what, p, e, 100 * p / e))


main()
