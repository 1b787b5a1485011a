"""Which files of a folder are its images."""

from PIL import Image

from replication.io.image_files import image_files


def images(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)


def test_what_is_hidden_or_of_the_system_is_no_photograph(tmp_path, caplog):
    images(tmp_path, "a.png", ".thumbnails/a.png", "__MACOSX/a.png", "@eaDir/a.png")
    (tmp_path / "._a.png").write_bytes(b"resource fork")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "raw.psd").touch()
    assert image_files(tmp_path) == [tmp_path / "a.png"]
    assert "files of other kinds: 1 .psd, 1 .txt" in caplog.text
    caplog.clear()
    assert image_files(tmp_path, told=False) == [tmp_path / "a.png"]
    assert not caplog.records


def test_a_linked_folder_counts_once(tmp_path, caplog):
    images(tmp_path, "in/b/a.png", "elsewhere/c.png")
    for link, target in {"in/a": "in/b", "in/loop": "in", "in/away": "elsewhere", "in/gone": "nowhere"}.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    assert image_files(tmp_path / "in") == [tmp_path / "in/away/c.png", tmp_path / "in/b/a.png"]
    assert "gone is a link that leads nowhere" in caplog.text
