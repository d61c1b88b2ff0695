"""What must not depend on any fault: /results and /items/{path,status,error}, row by row."""

import hashlib
import os

import h5py


class Rows:
    """Of each row: its path, its status, and a digest of all that it says."""

    def __init__(self, path):
        with h5py.File(path) as file:
            items, results = file["items"], file["results"]
            self.complete = int(file.attrs["complete"])
            self.paths = [bytes(each) for each in items["path"][:]]
            self.status = items["status"][:]
            errors = items["error"][:]
            columns = []
            for name in sorted(results):
                if isinstance(results[name], h5py.Group):
                    offsets, values = results[name]["offsets"][:].astype(int), results[name]["values"][:]
                    columns.append([values[offsets[row]:offsets[row + 1]] for row in range(len(self.paths))])
                else:
                    columns.append(results[name][:])
            self.digests = []
            for row, path in enumerate(self.paths):
                digest = hashlib.blake2b(path + b"\0" + bytes([self.status[row]]) + bytes(errors[row]), digest_size=16)
                for column in columns:
                    value = column[row]
                    digest.update(value if isinstance(value, bytes) else value.tobytes())
                self.digests.append(digest.digest())

    def done(self):
        return int((self.status != 0).sum())


def in_a_child(work):
    """What `work` gives, asked in a child: a damaged file may crash the HDF5 library. None: it did, or threw."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, repr(work()).encode())
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 — told to the parent, whatever it is
            os.write(2, f"{error}\n".encode())
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return eval(answer) if status == 0 else None  # our own repr of numbers


def compare(path, reference):
    """(lost, doubled, wrong) rows of a finished file beside the undisturbed run's."""
    rows = Rows(path)
    lost = sum(1 for status in rows.status if status == 0) + max(len(reference.paths) - len(rows.paths), 0)
    doubled = max(len(rows.paths) - len(reference.paths), 0)
    wrong = sum(1 for ours, theirs in zip(rows.digests, reference.digests) if ours != theirs) + (0 if rows.complete else 1)
    return lost, doubled, wrong


def compare_recovered(path, reference):
    """(items done, wrong rows among them) of a file with complete = 0."""
    rows = Rows(path)
    wrong = sum(1 for at, status in enumerate(rows.status) if status != 0 and rows.digests[at] != reference.digests[at])
    wrong += sum(1 for ours, theirs in zip(rows.paths, reference.paths) if ours != theirs) + (len(rows.paths) != len(reference.paths))
    return rows.done(), wrong
