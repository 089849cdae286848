"""results/index.html: shows what lies there, whatever state it is in."""

import html.parser
import json

import pandas as pd

from xfer.notebooks import write_page
from xfer.tables import write_table


class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [v for k, v in attributes if k in ("src", "href") and not v.startswith("#")]


def outcome(results, name, **record):
    folder = results / name
    (folder / "figures").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"exit_code": 0, "seconds": 61} | record))
    return folder


def test_it_links_every_figure_film_and_table_by_relative_paths(tmp_path):
    folder = outcome(tmp_path, "06_evaluate", parameters={"preset": "small"})
    for name in ("figures/a b.png", "figures/film.mp4", "executed.html"):
        (folder / name).write_bytes(b"x")
    pd.DataFrame({"method": ["ours"], "yaw": [1.23456789]}).to_csv(folder / "table.csv")
    (folder / "metrics.json").write_text(json.dumps({"yaw": {"error": 2.5}}))
    text = write_page(tmp_path).read_text()
    links = Links()
    links.feed(text)
    wanted = {"a%20b.png", "film.mp4", "table.csv", "executed.html"}
    assert wanted == {link.rsplit("/", 1)[1] for link in links.found}
    assert all(link.startswith("06_evaluate/") for link in links.found)
    assert "1.235" in text and "yaw.error" in text and "0:01:01" in text and "small" in text


def test_a_failure_shows_its_error_as_text(tmp_path):
    outcome(tmp_path, "03_invert", exit_code=1, error="cell 3: ValueError: <b>bad</b>")
    text = write_page(tmp_path).read_text()
    assert "failed" in text and "&lt;b&gt;bad&lt;/b&gt;" in text and "<b>bad" not in text


def test_half_written_and_empty_folders_do_no_harm(tmp_path):
    assert "No notebook has run yet" in write_page(tmp_path).read_text()
    folder = outcome(tmp_path, "00_world")
    for name in ("table.csv", "metrics.json", "executed.ipynb"):
        (folder / name).write_text("")
    assert "cannot be read" in write_page(tmp_path).read_text()


def test_a_table_made_for_reading_is_shown_whole_and_its_other_forms_are_linked(tmp_path):
    """Methods stand beside one another, however many rows their numbers take."""
    folder = outcome(tmp_path, "06_evaluate")
    methods = ["ours", "theirs | a <b>"]
    cells = pd.DataFrame({"yaw": ["1 [0, 2]", "9 [8, 9]"]}, pd.Index(methods, name="method"))
    write_table(cells, folder / "table", ["Judged by nobody."])
    pd.DataFrame({"n": range(450)}).to_csv(folder / "summary.csv", index=False)
    cells.to_csv(folder / "table.csv")
    text = write_page(tmp_path).read_text()
    for shown in ("<th>yaw</th>", "<td>ours</td>", "<td>9 [8, 9]</td>", "theirs | a &lt;b&gt;"):
        assert shown in text
    assert "Judged by nobody." in text and "---" not in text.split("</style>")[1]
    assert text.count("1 [0, 2]") == 1
    assert all(f"06_evaluate/table.{end}" in text for end in ("md", "tex", "csv"))


def test_samples_of_the_demo_are_shown_before_the_notebooks(tmp_path):
    outcome(tmp_path, "00_world")
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/samples.png").write_bytes(b"x")
    text = write_page(tmp_path).read_text()
    assert text.index("demo/samples.png") < text.index("<h2 id=")


def test_long_tables_are_cut_and_say_so(tmp_path):
    folder = outcome(tmp_path, "00_world")
    pd.DataFrame({"n": range(100)}).to_csv(folder / "long.csv", index=False)
    assert "and 70 rows more in the file" in write_page(tmp_path).read_text()
