"""What meu retrieves and how it shortens, beside what other programs do with the same collections.

Prints Markdown tables: for each collection meu and its peers, a peer at the best of a few usual settings,
by name. meu's answers come from `benches/quality.rs`; every number comes from the scorers that are named on
the command line, none is computed here.

    python -m venv venv
    venv/bin/pip install bm25s jieba PyStemmer rank-bm25 rouge-score scikit-learn sumy tantivy
    venv/bin/python benches/quality.py \\
        --retrieval DATA/retrieval --scorer-retrieval DATA/score_retrieval.py \\
        --summaries DATA/summ --scorer-summaries DATA/score_summaries.py --scorer-meetings DATA/score_qmsum.py

The collections and the scorers are other people's and are not in this repository:

- `--retrieval` names a folder of `SET/{corpus.jsonl {id,title,text}, queries.jsonl {id,text}, qrels.tsv}`,
  as from Cranfield or XQuAD. The scorer has `load_qrels(path)`, `per_query(qrels, run)` and `mean(scores)`.
- `--summaries` names a folder of `SET.jsonl {id,text,refs,sentences}`, as from SciTLDR. The scorer has
  `docs(set)`, `score(set, summaries, budget)` and `mean(scores)`, and reads the folder from `EVAL_SUMM`.
- Meetings are `qmsum-dev.jsonl` and `qmsum-mN.json` (QMSum) in the folder of summaries. The scorer has
  `questions`, `turns` and `score(run, budgets)`.

A set whose name ends in `-zh` is Chinese, any other is taken as English.
"""

import argparse
import importlib.util
import json
import os
import re
import sqlite3
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import bm25s
import jieba
import numpy as np
import Stemmer
import tantivy
from bm25s.stopwords import STOPWORDS_EN
from rank_bm25 import BM25Plus
from sklearn.feature_extraction.text import TfidfVectorizer
from sumy.models.dom import ObjectDocumentModel, Paragraph, Sentence
from sumy.nlp.stemmers import Stemmer as SumyStemmer
from sumy.summarizers.lex_rank import LexRankSummarizer
from sumy.summarizers.luhn import LuhnSummarizer
from sumy.summarizers.sum_basic import SumBasicSummarizer
from sumy.summarizers.text_rank import TextRankSummarizer
from sumy.utils import get_stop_words

ROOT = Path(__file__).resolve().parent.parent
DEPTH = 100
BM25S_METHODS = ["lucene", "bm25l", "bm25+", "robertson"]
BM25S_PARAMETERS = [(1.5, 0.75), (1.2, 0.75), (0.9, 0.4)]
SUMMARY_BUDGETS = {"scitldr-a": 25, "csl-zh": 30, "bbc": 100, "scisummnet": 150}
SUMY = {
    "LexRank": LexRankSummarizer,
    "TextRank": TextRankSummarizer,
    "Luhn": LuhnSummarizer,
    "SumBasic": SumBasicSummarizer,
}
MEETING_BUDGETS = (500, 1000, 2000)
WINDOW = 5


# Files, programs, tables.


def rows(text):
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def read_rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def load_scorer(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def meu(program, *words):
    command = [program] if program else ["cargo", "bench", "-q", "--bench", "quality", "--"]
    done = subprocess.run([*command, *map(str, words)], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode("utf-8")


def print_table(heading, lines):
    print("| " + " | ".join(heading) + " |")
    print("| " + " | ".join("---" for _ in heading) + " |")
    for line in lines:
        print("| " + " | ".join(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in line) + " |")
    print(flush=True)


# Words of a text.


@cache
def stemmer():
    return Stemmer.Stemmer("english")


def english_words(text):
    words = re.findall(r"\w+", text.lower())
    return stemmer().stemWords([word for word in words if word not in STOPWORDS_EN])


def all_english_words(text):
    return re.findall(r"\w+", text.lower())


def stems(text):
    return stemmer().stemWords(all_english_words(text))


def jieba_words(text):
    return [word for word in jieba.lcut(text.lower()) if re.search(r"\w", word)]


def character_grams(text, sizes):
    """Chinese characters in runs of each size, and other words whole."""
    grams = []
    for run in re.findall(r"[\u3400-\u9fff]+|[^\W\u3400-\u9fff]+", text.lower()):
        if not "\u3400" <= run[0] <= "\u9fff":
            grams.append(run)
            continue
        for size in sizes:
            grams += [run[start : start + size] for start in range(len(run) - size + 1)]
    return grams


# Retrieval. A peer yields the name of a setting and its run: for each query the ids of documents, best first.


@dataclass
class Collection:
    folder: Path
    ids: list
    texts: list
    queries: dict

    @property
    def chinese(self):
        return self.folder.name.endswith("-zh")

    def run(self, scores_of):
        return {query: self.ranking(scores_of(text)) for query, text in self.queries.items()}

    def ranking(self, scores):
        order = np.argsort(-scores, kind="stable")[:DEPTH]
        return [self.ids[at] for at in order if scores[at] > 0]


def read_collection(folder):
    corpus = read_rows(folder / "corpus.jsonl")
    texts = [f"{row.get('title') or ''}\n{row['text']}".strip() for row in corpus]
    queries = {row["id"]: row["text"] for row in read_rows(folder / "queries.jsonl")}
    return Collection(folder, [row["id"] for row in corpus], texts, queries)


def meu_runs(collection, program, command):
    run = {}
    for line in meu(program, command, collection.folder).splitlines():
        query, document, _rank, _score = line.split("\t")
        run.setdefault(query, []).append(document)
    yield "", run


def scikit_learn(collection):
    if collection.chinese:
        settings = {
            "character 1-2-grams": dict(analyzer="char", ngram_range=(1, 2), sublinear_tf=True),
            "character 2-grams": dict(analyzer="char", ngram_range=(2, 2), sublinear_tf=True),
        }
    else:
        settings = {
            "words, stop words": dict(stop_words="english"),
            "words, stop words, sublinear": dict(stop_words="english", sublinear_tf=True),
            "stems, stop words": dict(analyzer=english_words),
            "stems, stop words, sublinear": dict(analyzer=english_words, sublinear_tf=True),
        }
    for name, options in settings.items():
        vectorizer = TfidfVectorizer(**options)
        documents = vectorizer.fit_transform(collection.texts)
        yield name, collection.run(lambda text: (documents @ vectorizer.transform([text]).T).toarray().ravel())


def rank_bm25(collection):
    words = jieba_words if collection.chinese else english_words
    index = BM25Plus([words(text) for text in collection.texts])
    name = "Plus, jieba" if collection.chinese else "Plus, stop words, stems"
    yield name, collection.run(lambda text: index.get_scores(words(text)))


def bm25s_index(texts, words, **options):
    index = bm25s.BM25(**options)
    index.index([words(text) for text in texts], show_progress=False)
    return index


def bm25s_best(collection):
    if collection.chinese:
        words, name = lambda text: character_grams(text, (1, 2)), "character 1-2-grams"
    else:
        words, name = english_words, "stop words, stems"
    for method in BM25S_METHODS:
        for k1, b in BM25S_PARAMETERS:
            index = bm25s_index(collection.texts, words, method=method, k1=k1, b=b)
            run = collection.run(lambda text: index.get_scores(words(text)))
            yield f"{method}, k1 {k1}, b {b}, {name}", run
