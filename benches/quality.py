"""What meu retrieves and how it shortens, beside what other programs do with the same collections.

Prints Markdown tables: meu and its peers, collection by collection. meu's answers come from
`benches/quality.rs`; every number comes from the scorers named on the command line, none is computed here.
meu has one setting; of a peer's usual settings the best by the first column is shown, chosen in hindsight.

    python -m venv venv
    venv/bin/pip install bm25s jieba PyStemmer rank-bm25 rouge-score scikit-learn sumy tantivy
    venv/bin/python benches/quality.py \\
        --retrieval DATA/retrieval --scorer-retrieval DATA/score_retrieval.py \\
        --summaries DATA/summ --scorer-summaries DATA/score_summaries.py --scorer-meetings DATA/score_qmsum.py

The collections and the scorers are other people's and are not in this repository:

- `--retrieval`: a folder of `SET/{corpus.jsonl {id,title,text}, queries.jsonl {id,text}, qrels.tsv}`, such as
  Cranfield or XQuAD. The scorer has `load_qrels(path)`, `per_query(qrels, run)` and `mean(scores)`.
- `--summaries`: a folder of `SET.jsonl {id,text,refs,sentences}`, such as SciTLDR. The scorer has `docs(set)`,
  `score(set, summaries, budget)` and `mean(scores)`, and takes the folder from the variable `EVAL_SUMM`.
- Meetings are QMSum's, `qmsum-dev.jsonl` and `qmsum-mN.json` in the folder of summaries. The scorer has
  `questions`, `turns` and `score(run, budgets)`.

A set whose name ends in `-zh` is Chinese; any other is read as English.
"""

import argparse
import importlib.util
import json
import logging
import os
import re
import sqlite3
import subprocess
from functools import partial
from pathlib import Path

import bm25s
import jieba
import numpy as np
import Stemmer
import tantivy
from bm25s.stopwords import STOPWORDS_EN, STOPWORDS_EN_PLUS
from rank_bm25 import BM25Plus
from sklearn.feature_extraction.text import TfidfVectorizer
from sumy.models.dom import ObjectDocumentModel, Paragraph, Sentence
from sumy.nlp.stemmers import Stemmer as SumyStemmer
from sumy.nlp.stemmers import null_stemmer
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
SUMMARIZERS = {
    "sumy LexRank": LexRankSummarizer,
    "sumy TextRank": TextRankSummarizer,
    "sumy Luhn": LuhnSummarizer,
    "sumy SumBasic": SumBasicSummarizer,
}
MEETING_BUDGETS = (500, 1000, 2000)
STEMMER = Stemmer.Stemmer("english")


def json_lines(text):
    return [json.loads(line) for line in text.split("\n") if line]


def read_rows(path):
    return json_lines(path.read_text(encoding="utf-8"))


def load_scorer(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def meu(program, *words):
    command = [program] if program else ["cargo", "bench", "-q", "--bench", "quality", "--"]
    command += [str(word) for word in words]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout


def print_table(title, columns, lines):
    print(f"| {title} | {' | '.join(columns)} |")
    print("| --- |" + " --- |" * len(columns))
    for line in lines:
        print("| " + " | ".join(f"{cell:.4f}" if isinstance(cell, float) else cell for cell in line) + " |")
    print(flush=True)


def best_line(name, settings, score):
    """The line of the (setting, result) that scores best."""
    return name, *max((*score(result), setting) for setting, result in settings)


# Terms of a text.


def stems(text, stop_words):
    words = re.findall(r"\b\w\w+\b", text.lower())
    return STEMMER.stemWords([word for word in words if word not in stop_words])


ENGLISH_TERMS = {
    "stems, short stop list": partial(stems, stop_words=frozenset(STOPWORDS_EN)),
    "stems, long stop list": partial(stems, stop_words=frozenset(STOPWORDS_EN_PLUS)),
}


def jieba_words(text):
    return [word for word in jieba.lcut(text.lower()) if re.search(r"\w", word)]


def characters(text, size):
    """Each run of `size` characters inside a stretch of letters and digits."""
    words = re.findall(r"\w+", text.lower())
    return [word[start : start + size] for word in words for start in range(len(word) - size + 1)]


# Retrieval. A peer gives (setting, run) for each of its settings; a run is {query: documents, best first}.


class Collection:
    def __init__(self, folder):
        corpus = read_rows(folder / "corpus.jsonl")
        self.folder = folder
        self.chinese = folder.name.endswith("-zh")
        self.ids = [row["id"] for row in corpus]
        self.texts = [f"{row.get('title') or ''}\n{row['text']}" for row in corpus]
        self.queries = {row["id"]: row["text"] for row in read_rows(folder / "queries.jsonl")}

    def run(self, score):
        """The run of a function from the text of a query to the scores of all documents."""
        run = {}
        for query, text in self.queries.items():
            scores = score(text)
            best = np.argsort(-scores, kind="stable")[:DEPTH]
            run[query] = [self.ids[document] for document in best if scores[document] > 0]
        return run


def meu_run(program, command, collection):
    run = {query: [] for query in collection.queries}
    for line in meu(program, command, collection.folder).splitlines():
        query, document, _rank, _score = line.split("\t")
        run[query].append(document)
    return run


def scikit_learn(collection):
    if collection.chinese:
        settings = {f"characters {low}-2": {"analyzer": "char", "ngram_range": (low, 2)} for low in (1, 2)}
    else:
        settings = {"words, its stop list": {"stop_words": "english"}}
        settings |= {name: {"analyzer": terms} for name, terms in ENGLISH_TERMS.items()}
    for name, options in settings.items():
        vectorizer = TfidfVectorizer(sublinear_tf=True, **options)
        documents = vectorizer.fit_transform(collection.texts)
        yield name, collection.run(lambda text: (documents @ vectorizer.transform([text]).T).toarray().ravel())


def rank_bm25(collection):
    settings = {"jieba": jieba_words} if collection.chinese else ENGLISH_TERMS
    for name, terms in settings.items():
        index = BM25Plus([terms(text) for text in collection.texts])
        yield name, collection.run(lambda text: index.get_scores(terms(text)))


def bm25s_scores(texts, terms, **options):
    """A function from the text of a query to the scores of all texts."""
    index = bm25s.BM25(**options)
    index.index([terms(text) for text in texts], show_progress=False)
    return lambda query: index.get_scores(terms(query))


def bm25s_runs(collection):
    one_or_two = {"characters 1-2": lambda text: characters(text, 1) + characters(text, 2)}
    for name, terms in (one_or_two if collection.chinese else ENGLISH_TERMS).items():
        for method in BM25S_METHODS:
            for k1, b in BM25S_PARAMETERS:
                score = bm25s_scores(collection.texts, terms, method=method, k1=k1, b=b)
                yield f"{method}, k1 {k1}, b {b}, {name}", collection.run(score)


def tantivy_runs(collection):
    words, stop_words = tantivy.Tokenizer.simple(), tantivy.Filter.stopword("english")
    stemmer = tantivy.Filter.stemmer("english")
    if collection.chinese:
        settings = {f"characters {low}-2": [tantivy.Tokenizer.ngram(low, 2)] for low in (1, 2)}
    else:
        settings = {"stems": [words, stemmer], "stems, its stop list": [words, stop_words, stemmer]}
    for name, (tokenizer, *filters) in settings.items():
        builder = tantivy.TextAnalyzerBuilder(tokenizer).filter(tantivy.Filter.lowercase())
        for each in filters:
            builder = builder.filter(each)
        yield name, tantivy_run(collection, builder.build())


def tantivy_run(collection, analyzer):
    fields = tantivy.SchemaBuilder().add_text_field("id", stored=True, tokenizer_name="raw")
    schema = fields.add_text_field("text", tokenizer_name="terms").build()
    index = tantivy.Index(schema)
    index.register_tokenizer("terms", analyzer)
    writer = index.writer(num_threads=1)
    for document, text in zip(collection.ids, collection.texts):
        writer.add_document(tantivy.Document(id=document, text=text))
    writer.commit()
    index.reload()
    searcher = index.searcher()
    run = {}
    for query, text in collection.queries.items():
        terms = [tantivy.Query.term_query(schema, "text", term) for term in analyzer.analyze(text)]
        any_term = tantivy.Query.boolean_query([(tantivy.Occur.Should, term) for term in terms])
        run[query] = [searcher.doc(address)["id"][0] for _score, address in searcher.search(any_term, DEPTH).hits]
    return run


def sqlite_fts5(collection):
    tokenizer = "trigram" if collection.chinese else "porter"
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE VIRTUAL TABLE page USING fts5(id UNINDEXED, text, tokenize = {tokenizer})")
    database.executemany("INSERT INTO page VALUES (?, ?)", zip(collection.ids, collection.texts))
    run = {}
    for query, text in collection.queries.items():
        terms = characters(text, 3) if collection.chinese else re.findall(r"\w+", text)
        any_term = " OR ".join(f'"{term}"' for term in terms)
        found = database.execute("SELECT id FROM page WHERE page MATCH ? ORDER BY rank LIMIT ?", (any_term, DEPTH))
        run[query] = [document for (document,) in found]
    yield tokenizer, run


PEERS = {
    "scikit-learn TF-IDF": scikit_learn,
    "rank_bm25 BM25Plus": rank_bm25,
    "bm25s": bm25s_runs,
    "tantivy": tantivy_runs,
    "SQLite FTS5": sqlite_fts5,
}


def compare_retrieval(folder, scorer, program):
    collection = Collection(folder)
    qrels = scorer.load_qrels(folder / "qrels.tsv")
    systems = {
        "meu, bm25": [("", meu_run(program, "retrieval", collection))],
        "meu, tfidf": [("", meu_run(program, "retrieval-tfidf", collection))],
    }
    systems |= {name: peer(collection) for name, peer in PEERS.items()}

    def score(run):
        return scorer.mean(scorer.per_query(qrels, run))[:2]

    lines = [best_line(name, settings, score) for name, settings in systems.items()]
    print_table(folder.name, ["nDCG@10", "Recall@5", "best setting"], lines)


# Summaries.


class Words:
    """sumy's words, without the models of NLTK."""

    def to_words(self, text):
        return re.findall(r"[^\W\d_](?:[^\W\d_]|['-])*", text)


def sumy_summary(summarizer, row, budget):
    """The best sentences until the budget is full, in their order in the text."""
    sentences = row.get("sentences") or re.split(r"(?<=[.!?])\s+", row["text"])
    paragraph = Paragraph([Sentence(sentence, Words()) for sentence in sentences if sentence.strip()])
    summary = ""
    for count in range(1, len(sentences) + 1):
        summary = " ".join(map(str, summarizer(ObjectDocumentModel([paragraph]), count)))
        if len(summary.split()) >= budget:
            break
    return summary


def sumy_settings(kind, docs, budget):
    for name, stemmer in {"stop list": null_stemmer, "stop list, stems": SumyStemmer("english")}.items():
        summarizer = kind(stemmer)
        summarizer.stop_words = get_stop_words("english")
        yield name, {row["id"]: sumy_summary(summarizer, row, budget) for row in docs}


def compare_summaries(path, budget, scorer, program):
    docs = scorer.docs(path.stem)
    chinese = path.stem.endswith("-zh")
    by_meu = {row["id"]: row["summary"] for row in json_lines(meu(program, "summaries", path, budget))}
    systems = {"meu": [("", by_meu)], "lead": [("", {row["id"]: row["text"] for row in docs})]}
    if not chinese:
        systems |= {name: sumy_settings(kind, docs, budget) for name, kind in SUMMARIZERS.items()}

    def score(summaries):
        return scorer.mean(scorer.score(path.stem, summaries, budget))[:3]

    lines = [best_line(name, settings, score) for name, settings in systems.items()]
    title = f"{path.stem}, {budget} {'characters' if chinese else 'words'}"
    print_table(title, ["ROUGE-1", "ROUGE-2", "ROUGE-L", "best setting"], lines)


# Meetings. A run is {question: turns in the order of choice}.


def turns_by_bm25s(questions, meetings, terms, window):
    """The turns of the best stretch of `window` turns first."""
    run = {}
    for number, turns in meetings.items():
        starts = range(max(1, len(turns) - window + 1))
        stretches = [" ".join(turns[start : start + window]) for start in starts]
        score = bm25s_scores(stretches, terms)
        for question in questions:
            if question["meeting"] == number:
                best = np.argsort(-score(question["query"]), kind="stable").tolist()
                chosen = [turn for start in best for turn in range(start, min(start + window, len(turns)))]
                run[question["id"]] = list(dict.fromkeys(chosen))
    return run


def compare_meetings(folder, scorer, program):
    questions, meetings = scorer.questions, scorer.turns
    if questions != read_rows(folder / "qmsum-dev.jsonl"):
        raise SystemExit(f"the scorer of meetings has other questions than {folder}")
    runs = {
        "meu": {row["id"]: row["turns"] for row in json_lines(meu(program, "turns", folder))},
        "from the top": {row["id"]: range(len(meetings[row["meeting"]])) for row in questions},
    }
    for unit, window in {"turns": 1, "windows of 5 turns": 5}.items():
        for setting, terms in ENGLISH_TERMS.items():
            runs[f"bm25s, {unit}, {setting}"] = turns_by_bm25s(questions, meetings, terms, window)
    scores = {name: scorer.score(run, MEETING_BUDGETS) for name, run in runs.items()}
    lines = [(name, *(found[budget][0] for budget in MEETING_BUDGETS)) for name, found in scores.items()]
    print_table("qmsum-dev, evidence recall", [f"{budget} words" for budget in MEETING_BUDGETS], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", help="names of sets of --retrieval, with commas; all without it")
    paths = {
        "program": "the built bench, instead of `cargo bench --bench quality`",
        "retrieval": "a folder of judged collections",
        "scorer-retrieval": "its scorer",
        "summaries": "a folder of texts with summaries, and of meetings",
        "scorer-summaries": "its scorer",
        "scorer-meetings": "the scorer of its meetings",
    }
    for name, meaning in paths.items():
        parser.add_argument(f"--{name}", type=lambda path: Path(path).resolve(), metavar="PATH", help=meaning)
    options = parser.parse_args()
    program, folder = options.program, options.summaries
    if options.retrieval and not options.scorer_retrieval:
        parser.error("--retrieval needs --scorer-retrieval")
    if folder and not (options.scorer_summaries or options.scorer_meetings):
        parser.error("--summaries needs --scorer-summaries or --scorer-meetings")

    logging.disable(logging.INFO)
    if options.retrieval:
        scorer = load_scorer(options.scorer_retrieval)
        found = sorted(qrels.parent.name for qrels in options.retrieval.glob("*/qrels.tsv"))
        for name in options.sets.split(",") if options.sets else found:
            compare_retrieval(options.retrieval / name, scorer, program)
    if folder and options.scorer_summaries:
        os.environ["EVAL_SUMM"] = str(folder)
        scorer = load_scorer(options.scorer_summaries)
        for name, budget in SUMMARY_BUDGETS.items():
            path = folder / f"{name}.jsonl"
            if path.exists():
                compare_summaries(path, budget, scorer, program)
    if folder and options.scorer_meetings and (folder / "qmsum-dev.jsonl").exists():
        compare_meetings(folder, load_scorer(options.scorer_meetings), program)


if __name__ == "__main__":
    main()
