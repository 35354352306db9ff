"""Real sources of captions in every layout, each of COUNT pictures, told apart by their red."""

import io
import json
import tarfile

import pyarrow
import pyarrow.parquet
from PIL import Image

COUNT = 50


def png(number) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 16), (number % 256, 0, 200)).save(stream, "PNG")
    return stream.getvalue()


def text(number) -> str:
    return f"a car {number}"


def write_tar(path, files):
    """files: name → bytes, or pairs of them."""
    with tarfile.open(path, "w") as shard:
        for name, data in files.items() if isinstance(files, dict) else files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))


def write_parquet(path, rows, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, **how)
    return path


def break_column(file, name):
    """Every byte of a column's values becomes zero: whoever reads it notices."""
    content, metadata = bytearray(file.read_bytes()), pyarrow.parquet.read_metadata(file)
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            if column.path_in_schema.split(".")[0] == name:
                start = column.dictionary_page_offset or column.data_page_offset
                content[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    file.write_bytes(content)


def pictures(path, names):
    for number, name in enumerate(names):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(png(number))


def jsonl(path):
    pictures(path, [f"images/{number}.png" for number in range(COUNT)])
    rows = [{"file_name": f"images/{number}.png", "text": f" {text(number)}\n"} for number in range(COUNT)]
    (path / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))


def csv(path):
    pictures(path, [f"{number}.png" for number in range(COUNT)])
    (path / "metadata.csv").write_text(
        "file_name,caption,other\r\n" + "".join(f'{number}.png," {text(number)}",1\r\n' for number in range(COUNT))
    )


def beside(path):
    names = [f"{number // 20}/{number:02d}.{('png', 'JPG')[number % 2]}" for number in range(COUNT)]
    pictures(path, names)
    for number, name in enumerate(names):
        (path / name).with_suffix((".txt", ".caption")[number // 25]).write_text(text(number) + "\n")
    (path / "README.txt").write_text("about these pictures")


def parquet(path):
    for number, part in enumerate((range(20), range(20, COUNT))):
        rows = [{"image": {"bytes": png(i), "path": f"{i}.png"}, "TEXT": text(i), "n": i} for i in part]
        write_parquet(path / f"train-{number}.parquet", rows, row_group_size=7)


def webdataset(path):
    """As img2dataset writes it: status and more in the JSON, a table beside each tar, no file for what failed."""
    path.mkdir(parents=True)
    for shard, part in enumerate((range(20), range(20, COUNT))):
        files = {}
        for i in part:
            about = {"caption": text(i), "url": "http://…", "status": "success", "key": f"{shard:05d}{i:04d}"}
            files |= {f"{shard:05d}{i:04d}.jpg": png(i), f"{shard:05d}{i:04d}.txt": text(i).encode(),
                      f"{shard:05d}{i:04d}.json": json.dumps(about).encode()}  # fmt: skip
        write_tar(path / f"{shard:05d}.tar", files)
        write_parquet(path / f"{shard:05d}.parquet", [{"caption": text(i), "status": "success"} for i in part])


def saved(path):
    import datasets

    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    rows = {"image": [png(i) for i in range(COUNT)], "caption": [text(i) for i in range(COUNT)]}
    datasets.Dataset.from_dict(rows, features).save_to_disk(path)


MAKERS = {make.__name__: make for make in (jsonl, csv, beside, parquet, webdataset, saved)}
