"""SICK and MNLI from small files of their formats: columns, labels, damage, encoders, the cache."""

import json
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from netprops.data import check, encoders, load, mnli, sick
from netprops.data.tokens import hashed_states
from netprops.errors import DamagedDataError, MissingDataError

HEADER = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment"
LABELS = ("ENTAILMENT", "NEUTRAL", "CONTRADICTION")
SICK_FILES = {"SICK_train.txt": 4, "SICK_trial.txt": 2, "SICK_test_annotated.txt": 3}
MNLI_FILES = {"multinli_1.0_train.jsonl": 5, "multinli_1.0_dev_matched.jsonl": 4}


def sick_text(count, first=0, newline="\n"):
    lines = [f"{i}\tA man {i} runs\tA man moves\t3.{i}\t{LABELS[i % 3]}" for i in range(first, first + count)]
    return newline.join([HEADER, *lines]) + newline


def mnli_text(count):
    """Every third pair is one that the annotators did not agree on."""
    lines = [
        {"gold_label": ("-", "neutral", "entailment")[i % 3], "sentence1": f"Man {i}.", "sentence2": "He’s."}
        for i in range(count)
    ]
    return "".join(json.dumps({**line, "genre": "x", "annotator_labels": []}) + "\n" for line in lines)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data root with both data sets, and their counts made as small as these files."""
    monkeypatch.setattr(sick, "FILES", SICK_FILES)
    monkeypatch.setattr(mnli, "FILES", MNLI_FILES)
    (tmp_path / "SICK").mkdir()
    for number, (name, count) in enumerate(SICK_FILES.items()):
        newline = "\r\n" if "test" in name else "\n"  # as in the published files
        (tmp_path / "SICK" / name).write_bytes(sick_text(count, 10 * number, newline).encode())
    (tmp_path / "multinli_1.0").mkdir()
    for name, count in MNLI_FILES.items():
        (tmp_path / "multinli_1.0" / name).write_text(mnli_text(count), encoding="utf-8")
    return tmp_path


def test_sick_has_the_files_pairs_and_labels_in_their_order(root):
    data = load("sick:hashed", root)
    assert data.name == "sick:hashed"
    assert data.classes == ("entailment", "neutral", "contradiction")
    assert data.train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.test.labels.tolist() == [2, 0, 1]
    numbers = [0, 1, 2, 3, 10, 11]
    expected = np.empty((6, 64, 128), dtype=np.float16)
    hashed_states([f"A man {i} runs" for i in numbers], ["A man moves"] * 6, expected)
    np.testing.assert_array_equal(data.train.inputs.numpy(), expected)
    assert data.input_shape == (64, 128)
    prepared = data.prepare(data.test.inputs)
    assert prepared.dtype == torch.float32
    assert torch.equal(prepared, data.test.inputs.float())


def test_mnli_leaves_out_what_has_no_gold_label(root):
    data = load("mnli:hashed", root)
    assert data.train.labels.tolist() == [1, 0, 1]
    assert data.test.labels.tolist() == [1, 0]
    expected = np.empty((2, 64, 128), dtype=np.float16)
    hashed_states(["Man 1.", "Man 2."], ["He’s."] * 2, expected)
    np.testing.assert_array_equal(data.test.inputs.numpy(), expected)


def test_states_are_kept_in_the_cache_and_made_anew_for_other_files(root, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    times, encode = [], encoders.Hashed.encode
    monkeypatch.setattr(encoders.Hashed, "encode", lambda *args: (times.append(1), encode(*args)))
    first, second = (load("sick:hashed", root, cache_root=cache) for _ in range(2))
    assert len(times) == 2  # both parts, once
    assert first.digest == second.digest == load("sick:hashed", root).digest
    assert second.mean is None
    path = root / "SICK" / "SICK_trial.txt"
    path.write_text(path.read_text().replace("A man", "No man"))
    assert load("sick:hashed", root, cache_root=cache).digest != first.digest


def edit(path, old, new, count=1):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "entailment_judgment",
            "relation",
            "SICK_train.txt: its first line .* expected entailment_judgment, too",
        ),
        ("\tsentence_A\tsentence_B", "", "expected sentence_A, sentence_B, too; it is not a file of SICK"),
        (HEADER, "", "its first line has the columns"),
        (
            "\tNEUTRAL\n",
            "\tNEUT\n",
            "SICK_train.txt, line 3: the label is 'neut', expected one of entailment,",
        ),
        ("\t3.1\tNEUTRAL", "", "line 3: 3 columns, expected 5; it is cut off or was edited"),
        ("A man 1 runs", " ", "line 3: a sentence is empty"),
        (
            "1\tA man 1 runs\tA man moves\t3.1\tNEUTRAL\n",
            "",
            "has 3 sentence pairs, expected 4: it is cut off",
        ),
    ],
)
def test_damage_in_sick_is_said(root, old, new, words):
    edit(root / "SICK" / "SICK_train.txt", old, new)
    with pytest.raises(DamagedDataError, match=words):
        load("sick:hashed", root)


def test_bytes_that_are_no_text_and_an_empty_file_are_said(root):
    path = root / "SICK" / "SICK_test_annotated.txt"
    path.write_bytes(path.read_bytes().replace(b"man", b"m\xff\xfen", 1))
    with pytest.raises(DamagedDataError, match=r"SICK_test_annotated.txt cannot be read as a text \(.*utf-8"):
        load("sick:hashed", root)
    path.write_bytes(b"")
    with pytest.raises(DamagedDataError, match="expected sentence_A, sentence_B, entailment_judgment, too"):
        load("sick:hashed", root)
    path = root / "multinli_1.0" / "multinli_1.0_train.jsonl"
    path.write_bytes(b"\xff\xfe" + path.read_bytes())
    with pytest.raises(DamagedDataError, match=r"multinli_1.0_train.jsonl cannot be read as a text"):
        load("mnli:hashed", root)
    path.write_bytes(b"")
    with pytest.raises(
        DamagedDataError, match="has 0 sentence pairs, expected 5: it is cut off or not the file"
    ):
        load("mnli:hashed", root)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            '"sentence2"',
            '"hypothesis"',
            "line 1: it has no text under sentence2, expected sentence1, sentence2,",
        ),
        ('"He\\u2019s."', "null", "line 1: it has no text under sentence2"),
        (
            '"neutral"',
            '"maybe"',
            "train.jsonl, line 2: the label is 'maybe', expected one of entailment, neutral",
        ),
        ('"Man 1."', '""', "line 2: a sentence is empty"),
    ],
)
def test_damage_in_mnli_is_said(root, old, new, words):
    edit(root / "multinli_1.0" / "multinli_1.0_train.jsonl", old, new)
    with pytest.raises(DamagedDataError, match=words):
        load("mnli:hashed", root)


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (0.95, "line 5: it is not JSON .*; the file is cut off"),
        (0.8, "has 4 sentence pairs, expected 5: it is cut off"),
    ],
)
def test_a_cut_off_mnli_is_said_wherever_it_ends(root, kept, words):
    path = root / "multinli_1.0" / "multinli_1.0_train.jsonl"
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    path.write_text("".join(lines[:4]) if kept == 0.8 else text[: int(kept * len(text))], encoding="utf-8")
    with pytest.raises(DamagedDataError, match=words):
        load("mnli:hashed", root)


def test_a_line_that_is_json_but_no_record_is_said(root):
    path = root / "multinli_1.0" / "multinli_1.0_dev_matched.jsonl"
    path.write_text("[1, 2]\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(
        DamagedDataError, match=r"dev_matched\.jsonl, line 1: it has no text under sentence1, sent"
    ):
        load("mnli:hashed", root)


@pytest.mark.parametrize(
    ("name", "file"), [("sick", "SICK_trial.txt"), ("mnli", "multinli_1.0_dev_matched.jsonl")]
)
def test_each_file_is_looked_for(root, name, file):
    (path,) = root.glob(f"*/{file}")
    path.unlink()
    sentence = check(f"{name}:hashed", root)
    assert f"looked for {path}" in sentence
    with pytest.raises(MissingDataError, match="netprops cannot download it"):
        load(f"{name}:hashed", root)


def test_a_pretrained_encoder_that_is_not_there_or_cannot_be_read_is_said(root, monkeypatch):
    sentence = check("sick:encoder", root)
    assert f"looked for {root / 'encoder' / 'config.json'}" in sentence
    assert "or take the encoder 'hashed'" in sentence
    (root / "encoder").mkdir()
    (root / "encoder" / "config.json").write_text("{}")
    assert f"looked for tokenizer.json, vocab.txt, vocab.json, tokenizer.model or spiece.model in {root}" in (
        check("sick:encoder", root)
    )
    (root / "encoder" / "vocab.txt").write_text("a")
    monkeypatch.setattr(encoders, "find_spec", lambda name: None)
    sentence = check("sick:encoder", root)
    assert f"needs the package transformers to read the encoder in {root / 'encoder'}" in sentence
    with pytest.raises(MissingDataError, match="and this Python has none; install it"):
        load("sick:encoder", root)


class Batch(dict):
    def to(self, device):
        return self


class Tokenizer:
    """One token a word and a separator after each sentence, as a pretrained tokenizer is called."""

    pad_token, eos_token = None, "."

    def __call__(self, first, second, *, truncation, max_length, padding, return_tensors):
        assert (truncation, padding, return_tensors) == ("longest_first", "max_length", "pt")
        ids, mask = (torch.zeros(len(first), max_length, dtype=torch.int64) for _ in range(2))
        for row, texts in enumerate(zip(first, second, strict=True)):
            found = [len(word) for text in texts for word in (*text.split(), "")]
            ids[row, : len(found)] = torch.tensor(found)
            mask[row, : len(found)] = 1
        return Batch(input_ids=ids, attention_mask=mask)


class Model:
    """States of three numbers that are nowhere zero, padding included."""

    device, config = torch.device("cpu"), SimpleNamespace(hidden_size=3)
    scale = 1.0

    def eval(self):
        return self

    def to(self, device):
        return self

    def __call__(self, input_ids, attention_mask):
        states = self.scale * (1 + input_ids[..., None] + torch.arange(3) / 4)
        return SimpleNamespace(last_hidden_state=states)


@pytest.fixture
def transformers(root, monkeypatch):
    """A stand-in for the package, and a folder that it reads."""
    module = ModuleType("transformers")
    module.__spec__ = ModuleSpec("transformers", None)
    asked = []

    def reader(made):
        def from_pretrained(folder, **more):
            asked.append((folder, more))
            if (folder / "broken").exists():
                raise OSError("no file named model.safetensors\nin the folder")
            lacking = [*(["layer.0.weight"] * (folder / "half").exists()), "pooler.dense.bias"]
            return (made(), {"missing_keys": lacking}) if "output_loading_info" in more else made()

        return SimpleNamespace(from_pretrained=from_pretrained)

    module.AutoTokenizer, module.AutoModel = reader(Tokenizer), reader(Model)
    monkeypatch.setitem(sys.modules, "transformers", module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (root / "encoder").mkdir()
    (root / "encoder" / "config.json").write_text("{}")
    (root / "encoder" / "vocab.txt").write_text("a")
    return SimpleNamespace(asked=asked, folder=root / "encoder")


def test_states_of_a_pretrained_encoder_are_its_last_ones_with_zeros_for_padding(
    root, transformers, tmp_path
):
    data = load("sick:encoder", root, cache_root=tmp_path / "cache")
    assert data.input_shape == (64, 3)
    assert data.train.inputs.dtype == torch.float16
    # "A man 0 runs" and "A man moves", a separator after each
    expected = 1 + np.array([1, 3, 1, 4, 0, 1, 3, 5, 0])[:, None] + np.arange(3) / 4
    np.testing.assert_array_equal(data.train.inputs[0, :9].numpy(), expected)
    assert not data.train.inputs[0, 9:].any()
    assert [(folder, more["local_files_only"]) for folder, more in transformers.asked] == [
        (transformers.folder, True)
    ] * 2
    assert transformers.asked[1][1]["use_safetensors"]  # no pickle
    load("sick:encoder", root, cache_root=tmp_path / "cache")
    assert len(transformers.asked) == 2
    (transformers.folder / "model.safetensors").write_bytes(b"other weights")
    load("sick:encoder", root, cache_root=tmp_path / "cache")
    assert len(transformers.asked) == 4


def test_progress_counts_pairs_over_batches(root, transformers, monkeypatch):
    monkeypatch.setattr(encoders, "_BATCH", 4)
    shown = []
    whole = load("sick:encoder", root, progress=lambda done, all_: shown.append((done, all_)))
    assert shown == [(4, 6), (6, 6), (3, 3)]
    monkeypatch.setattr(encoders, "_BATCH", 64)
    assert load("sick:encoder", root).digest == whole.digest


def test_an_encoder_that_is_damaged_is_said(root, transformers, monkeypatch):
    monkeypatch.setattr(Model, "scale", 1e6)
    with pytest.raises(DamagedDataError, match="states that are not finite in float16 for the pairs 0 to 5"):
        load("sick:encoder", root)
    (transformers.folder / "half").touch()
    with pytest.raises(
        DamagedDataError, match=r"cannot be read \(its weights lack layer\.0\.weight\); save it"
    ):
        load("sick:encoder", root)
    (transformers.folder / "broken").touch()
    with pytest.raises(
        DamagedDataError, match=r"cannot be read \(no file named model.safetensors\); save it"
    ):
        load("sick:encoder", root)


def test_a_real_encoder_is_read_where_the_package_is_installed(root):
    package = pytest.importorskip("transformers")
    folder = root / "encoder"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "man", "runs", "moves"]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = package.BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    torch.manual_seed(0)
    model = package.BertModel(package.BertConfig(vocab_size=len(words), **sizes)).eval()
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    data = load("sick:encoder", root)
    batch = tokenizer(["A man 1 runs"], ["A man moves"], return_tensors="pt")
    with torch.no_grad():
        expected = model(**batch).last_hidden_state[0]
    there = len(expected)
    torch.testing.assert_close(data.train.inputs[1, :there].float(), expected, atol=2e-3, rtol=2e-3)
    assert not data.train.inputs[1, there:].any()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(
        DamagedDataError, match=r"the encoder in .* cannot be read \(Error while deserializing"
    ):
        load("sick:encoder", root)


def test_the_real_sick_has_its_published_counts(real):
    if check("sick:hashed", real) is not None:
        pytest.skip("SICK is not there")
    data = load("sick:hashed", real)
    assert (len(data.train), len(data.test)) == (5000, 4927)
    assert np.bincount(data.train.labels.numpy()).tolist() == [1443, 2818, 739]
    assert np.bincount(data.test.labels.numpy()).tolist() == [1414, 2793, 720]
