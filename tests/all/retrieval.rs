//! Sections and the retrieved tier, through the command line: what a request takes, and what makes it
//! stale.

use std::fs;

use crate::house::House;

/// Two pages, each too long to be one passage.
fn pages() -> House {
    let filler = "Nothing to see in this long sentence about the weather of last year.\n".repeat(40);
    House::new()
        .file(
            "docs/kit.md",
            format!("# Kit\n\n## Meters\n\nCalibrate the meter before you leave. {filler}\n## Boots\n\nWear boots. {filler}"),
        )
        .file(
            "docs/roads.md",
            format!("# Roads\n\n## Winter\n\nGravel and salt. {filler}\n## Summer\n\nDust. {filler}"),
        )
}

const RETRIEVE: &str = "[context]\nretrieve = { k = 1 }\n";

fn refs(house: &House, task: &str) -> Vec<String> {
    let json = house.meu(&["context", "show", task, "--json"]).ok().json();
    let items = json["items"].as_array().expect("items");
    items.iter().map(|item| item["ref"].as_str().expect("a ref").to_owned()).collect()
}

fn asking(prompt: &str, keys: &str) -> String {
    format!("prompt = \"{prompt}\"\n{keys}")
}

#[test]
fn the_best_section_is_in_and_only_its_change_asks() {
    let house = pages().file("tasks/a.toml", asking("How to calibrate a meter", RETRIEVE));
    house.run_asks(&["A"]);
    assert_eq!(refs(&house, "a"), ["doc:docs/kit.md#Meters"]);
    let kit = house.read("docs/kit.md");
    // Another section of the page, another page, a new page that is no hit: nobody is asked.
    house.put("docs/kit.md", kit.replace("Wear boots", "Wear shoes"));
    house.run_asks(&[]);
    house.put("docs/roads.md", house.read("docs/roads.md").replace("Gravel", "Sand"));
    house.run_asks(&[]);
    house.put("docs/new.md", "# Food\n\nBread.\n");
    house.run_asks(&[]);
    // The section itself, and a better page.
    house.put("docs/kit.md", kit.replace("before you leave", "when you leave"));
    house.run_asks(&["A"]);
    house.put("docs/new.md", "# Calibrate a meter\n\nCalibrate a meter with the calibrated meter.\n");
    house.run_asks(&["A"]);
    assert_eq!(refs(&house, "a"), ["doc:docs/new.md"]);
    assert!(house.meu(&["status"]).ok().out.contains("fresh"));
}

#[test]
fn what_is_in_already_is_not_counted() {
    let house = pages().file("docs/more.md", "# Meter\n\nA meter to calibrate.\n").file(
        "tasks/a.toml",
        asking("Calibrate the meter", "inputs = [\"docs/kit.md#Meters\"]\n[context]\nretrieve = { k = 1 }\n"),
    );
    assert_eq!(refs(&house, "a"), ["doc:docs/kit.md#Meters", "doc:docs/more.md"]);
    let said = house.meu(&["context", "exclude", "a", "doc:docs/more.md"]).ok();
    assert!(said.out.starts_with("excluded"), "{}", said.out);
    // Nothing else has a word of it but the sections that are in or out.
    assert_eq!(refs(&house, "a"), ["doc:docs/kit.md#Meters"]);
}

#[test]
fn outputs_of_upstream_tasks_are_searched_and_of_others_not() {
    let house = House::new()
        .file("tasks/far.toml", asking("gravel roads", ""))
        .file("tasks/near.toml", asking("near", "requires = [\"far\"]\n"))
        .file("tasks/other.toml", asking("gravel roads and more", ""))
        .file(
            "tasks/a.toml",
            asking("gravel", "requires = [\"near\"]\n[context]\nretrieve = { k = 3, documents = [] }\n"),
        );
    house.run_asks(&["Far", "Near", "A", "Other"]);
    assert_eq!(refs(&house, "a"), ["task:near", "task:far"]);
    let house = house.file(
        "tasks/a.toml",
        asking(
            "gravel",
            "requires = [\"near\"]\n[context]\nretrieve = { k = 3, documents = [], from = \"earlier\" }\n",
        ),
    );
    house.run_asks(&["A"]);
    assert_eq!(refs(&house, "a"), ["task:near", "task:far", "task:other"]);
    // What it waits for now: the other task, too.
    house.put("tasks/other.toml", asking("gravel roads and much more", ""));
    house.run_asks(&["Other", "A"]);
}

#[test]
fn the_choice_is_explained_and_so_is_what_nearly_made_it() {
    let house = pages().file("tasks/a.toml", asking("Calibrate a meter before you leave in boots", RETRIEVE));
    let said = house.meu(&["context", "show", "a", "--candidates"]).ok();
    assert!(said.out.contains("retrieved doc:docs/kit.md#Meters"), "{}", said.out);
    assert!(said.out.contains("rank 1, score "), "{}", said.out);
    assert!(said.out.contains("doc:docs/kit.md#Boots  not in: `k` is 1"), "{}", said.out);
    let json = house.meu(&["context", "show", "a", "--candidates", "--json"]).ok().json();
    assert_eq!(json["items"][0]["rank"], 1);
    assert_eq!(json["items"][0]["tier"], "retrieved");
    assert_eq!(json["candidates"][1]["ref"], "doc:docs/kit.md#Boots");
    assert_eq!(json["candidates"][1]["chosen"], false);
}

#[test]
fn search_is_the_retriever_alone() {
    let house = pages().task("a", "");
    house.run_asks(&["a"]);
    let json = house.meu(&["search", "calibrated", "meters", "-k", "1", "--json"]).ok().json();
    let hits = json["hits"].as_array().expect("hits");
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0]["ref"], "doc:docs/kit.md#Meters");
    assert!(hits[0]["score"].as_f64().is_some_and(|score| score > 0.0));
    assert!(hits[0]["snippet"].as_str().is_some_and(|text| text.contains("Calibrate the meter")));
    let said = house.meu(&["search", "xylophone"]).ok();
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", "no passage has a word of that\n"));
}

#[test]
fn the_corpus_only_saves_work() {
    let house = pages().file("tasks/a.toml", asking("How to calibrate a meter", RETRIEVE));
    house.run_asks(&["A"]);
    let shown = house.meu(&["context", "show", "a", "--json"]).ok().out;
    let corpus = house.root().join(".meu/corpus");
    let segments = || fs::read_dir(&corpus).into_iter().flatten().flatten().map(|entry| entry.path());
    let kept: Vec<_> = segments().collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let whole = fs::read(&kept[0]).expect("a segment");
    for at in 0..whole.len() / 16 {
        let mut damaged = whole.clone();
        damaged[16 * at] ^= 1;
        fs::write(&kept[0], damaged).expect("it is written");
        assert_eq!(house.meu(&["context", "show", "a", "--json"]).ok().out, shown);
        assert_eq!(segments().collect::<Vec<_>>(), kept);
    }
    // One file, as earlier versions had it; one of those; one cut off.
    fs::remove_dir_all(&corpus).expect("a folder");
    house.put(".meu/corpus", "meu corpus 2\nrubbish");
    assert_eq!(house.meu(&["context", "show", "a", "--json"]).ok().out, shown);
    house.put(".meu/corpus/0123456789ab", "");
    house.put(".meu/corpus/0123456789ac", &whole[..whole.len() - 1]);
    assert_eq!(house.meu(&["context", "show", "a", "--json"]).ok().out, shown);
    house.run_asks(&[]);
}

#[test]
fn a_section_of_data_is_taken_by_its_pointer() {
    let house = House::new()
        .file("api.json", r#"{"paths": {"/login": {"post": 1}, "/exit": {"get": 2}}, "info": "x"}"#)
        .file("conf.yaml", "server:\n  port: 80\nlog: all\n")
        .file("rows.csv", "name,n\na,1\nb,2\n")
        .task("a", "inputs = [\"api.json#/paths/~1login\", \"conf.yaml#server\", \"rows.csv#row=3\"]\n");
    let said = house.meu(&["context", "show", "a", "--full"]).ok();
    for text in ["{\"post\": 1}", "port: 80", "name,n\nb,2"] {
        assert!(said.out.contains(text), "{}", said.out);
    }
    assert!(!said.out.contains("log:"), "{}", said.out);
    house.run_asks(&["a"]);
    house.put("api.json", r#"{"paths": {"/login": {"post": 1}, "/exit": {"get": 3}}, "info": "y"}"#);
    house.put("conf.yaml", "log: none\nserver:\n  port: 80 # as ever\n");
    house.put("rows.csv", "name,n\na,9\nb,2\n");
    house.run_asks(&[]);
    house.put("conf.yaml", "server:\n  port: 81\n");
    house.run_asks(&["a"]);
}

#[test]
fn front_matter_is_no_text() {
    let house = House::new()
        .file("page.md", "---\ntitle: Draft\n---\n\n# Page\n\nWords.\n")
        .task("a", "inputs = [\"page.md\"]\n")
        .task("b", "inputs = [\"page.md#---\"]\n");
    house.run_asks(&["a", "b"]);
    house.put("page.md", "---\ntitle: Final\n---\n\n# Page\n\nWords.\n");
    house.run_asks(&["b"]);
}

#[test]
fn a_section_that_is_gone_is_told_with_near_names() {
    let house = House::new()
        .file("api.json", "{\"paths\": {}, \"info\": 1}")
        .file("rows.csv", "name,n\na,1\n")
        .file("guide.rst", "Guide\n=====\n\nSet up\n------\n\nText.\n")
        .task("a", "inputs = [\"api.json#path\", \"rows.csv#row=9\", \"guide.rst#Setup\"]\n");
    let said = house.meu(&["check"]);
    assert_eq!(said.code, 2);
    for part in [
        "error: `api.json` has no section `path`\n --> tasks/a.toml:3:11\n",
        "= help: did you mean `paths`?\n",
        "error: `rows.csv` has no section `row=9`\n --> tasks/a.toml:3:28\n",
        "= help: it has `row=1-2`\n",
        "error: `guide.rst` has no heading `Setup`\n --> tasks/a.toml:3:46\n",
        "= help: did you mean `Set up`?\n",
    ] {
        assert!(said.err.contains(part), "{part}{}", said.err);
    }
}

#[test]
fn wrong_retrieve_tables_are_told_where_they_stand() {
    let house = House::new().task(
        "a",
        "[context]\nretrieve = { k = 2, from = \"documents\", documents = [], ranking = \"bm52\", min_score = 2.0 }\n",
    );
    let said = house.meu(&["check"]);
    assert_eq!(said.code, 2);
    for part in [
        "error: `bm52` is not one of bm25, tfidf\n --> tasks/a.toml:4:67\n",
        "= help: did you mean `bm25`?",
        "error: `min_score` is a part of the best hit's score: from 0 to 1\n --> tasks/a.toml:4:12\n",
        "error: `retrieve.k` is 2 and there is nothing to search\n --> tasks/a.toml:4:12\n",
    ] {
        assert!(said.err.contains(part), "{part}\n{}", said.err);
    }
    let house = House::new().task("a", RETRIEVE);
    let said = house.meu(&["check"]).ok();
    assert!(
        said.err.contains("warning: `retrieve.documents` matches no document: docs/**/*.md\n"),
        "{}",
        said.err
    );
}

#[test]
fn documents_that_are_no_text_are_told_and_left_out() {
    let house = pages()
        .file("docs/wide.md", [0xff, 0xfe, b'a', 0])
        .file("docs/binary.md", [0x89, b'P', 0xff, 0])
        .file("docs/line.md", "x".repeat(17 * 1024 * 1024))
        .file("tasks/a.toml", asking("How to calibrate a meter", RETRIEVE));
    let said = house.run_asks(&["A"]);
    for part in [
        "UTF-16; save it as UTF-8",
        "`docs/binary.md` is left out: it is not UTF-8",
        "`docs/line.md` is left out: it has",
    ] {
        assert!(said.err.contains(part), "{part}\n{}", said.err);
    }
    assert_eq!(refs(&house, "a"), ["doc:docs/kit.md#Meters"]);
}

#[test]
fn an_approved_context_keeps_a_retrieved_section_and_searches_no_more() {
    let house = pages().file("tasks/a.toml", asking("How to calibrate a meter", RETRIEVE));
    house.meu(&["context", "approve", "a"]).ok();
    assert!(house.read("tasks/a.toml").contains("items = [\"doc:docs/kit.md#Meters\"]"));
    house.put("docs/new.md", "# Calibrate a meter\n\nCalibrate a meter with the calibrated meter.\n");
    assert_eq!(refs(&house, "a"), ["doc:docs/kit.md#Meters"]);
}

#[test]
fn excluding_a_hit_is_a_change_and_approving_it_is_none() {
    let house = pages().file("tasks/a.toml", asking("How to calibrate a meter", RETRIEVE));
    house.run_asks(&["A"]);
    house.meu(&["context", "approve", "a"]).ok();
    house.run_asks(&[]);
    house.meu(&["context", "approve", "a", "--off"]).ok();
    house.run_asks(&[]);
    house.meu(&["context", "exclude", "a", "doc:docs/kit.md#Meters"]).ok();
    assert_eq!(house.state("a"), "stale");
    house.run_asks(&["A"]);
    assert_eq!(refs(&house, "a"), [""; 0]);
}

#[test]
fn what_other_tasks_search_changes_no_score() {
    let house =
        pages().file("other/z.md", "A zebra.\n").file("tasks/a.toml", asking("meter zebra", RETRIEVE)).file(
            "tasks/b.toml",
            asking("zebra", "[context]\nretrieve = { k = 1, documents = [\"other/*.md\"] }\n"),
        );
    let scores = |house: &House| house.meu(&["context", "show", "a", "--candidates", "--json"]).ok().out;
    let alone = scores(&house);
    house.meu(&["context", "show", "b"]).ok();
    assert_eq!(scores(&house), alone);
    house.run_asks(&["A", "B"]);
    assert_eq!(scores(&house), alone);
}

#[test]
fn hits_inside_what_is_in_use_up_no_place() {
    let parts: String = (0..20)
        .map(|at| format!("### Part {at}\n\nThe meter. {}\n\n", "Filler words here. ".repeat(20)))
        .collect();
    let house = House::new()
        .file("docs/a.md", format!("# A\n\n## Big\n\n{parts}"))
        .file("docs/b.md", "# B\n\nA meter, too.\n")
        .file(
            "tasks/a.toml",
            asking("meter", "inputs = [\"docs/a.md#Big\"]\n[context]\nretrieve = { k = 1 }\n"),
        );
    assert_eq!(refs(&house, "a"), ["doc:docs/a.md#Big", "doc:docs/b.md"]);
}

#[test]
fn a_short_budget_keeps_the_best_hit() {
    let house = House::new()
        .file("docs/z.md", "# Meter\n\nCalibrate the meter with the meter kit.\n")
        .file("docs/a.md", format!("# A\n\nA meter. {}\n", "Filler words that fill. ".repeat(40)))
        .file("tasks/a.toml", asking("calibrate meter", "[context]\nbudget = 200\nretrieve = { k = 2 }\n"));
    assert_eq!(refs(&house, "a"), ["doc:docs/z.md"]);
    let said = house.meu(&["context", "show", "a", "--candidates"]).ok();
    assert!(said.out.contains("doc:docs/a.md  not in: no room"), "{}", said.out);
}

#[test]
fn equal_documents_are_one_hit_and_the_other_stands_in() {
    let text = "# Meter\n\nCalibrate the meter.\n";
    let house = House::new()
        .file("docs/a.md", text)
        .file("docs/b.md", text)
        .file("docs/c.md", "# Boots\n\nMeter boots.\n")
        .file("tasks/a.toml", asking("calibrate meter", "[context]\nretrieve = { k = 3 }\n"));
    assert_eq!(refs(&house, "a"), ["doc:docs/a.md", "doc:docs/c.md"]);
    house.meu(&["context", "exclude", "a", "doc:docs/a.md#Meter"]).ok();
    assert_eq!(refs(&house, "a"), ["doc:docs/b.md", "doc:docs/c.md"]);
    let house = house.file(
        "tasks/a.toml",
        asking("calibrate meter", "inputs = [\"docs/b.md\"]\n[context]\nretrieve = { k = 3 }\n"),
    );
    assert_eq!(refs(&house, "a"), ["doc:docs/b.md", "doc:docs/c.md"]);
}

#[test]
fn each_language_is_searched_in_its_own_way() {
    let house = House::new()
        .file("docs/de1.md", "Die Häuser und die Gärten sind nicht alt, und das ist gut.\n")
        .file("docs/de2.md", "Der Fluss und die Brücke sind in der Stadt.\n")
        .file("docs/en.md", "The calibration of the instruments is done in the morning.\n")
        .task("a", "");
    for (query, expected) in [("calibrations", "doc:docs/en.md"), ("Haus", "doc:docs/de1.md")] {
        let json = house.meu(&["search", query, "--json"]).ok().json();
        assert_eq!(json["hits"][0]["ref"], expected, "{query}");
    }
}

#[test]
fn tasks_without_a_context_wait_for_nothing() {
    let house = House::new()
        .file("meu.toml", "[context]\ntokenizer = \"chars\"\nretrieve = { k = 1, from = \"earlier\" }\n")
        .file("docs/a.md", "Words.\n")
        .file("tasks/one.toml", asking("one", ""))
        .file("tasks/two.toml", asking("two", "requires = [\"one\"]\n"))
        .file(
            "tasks/joined.toml",
            "run = \"template\"\nrequires = [\"one\"]\nprompt = \"{{ text('task:one') }}\"\n",
        );
    let json = house.meu(&["status", "--json"]).ok().json();
    let joined = json["tasks"].as_array().expect("tasks").iter().find(|task| task["id"] == "joined").cloned();
    assert!(!joined.expect("joined").to_string().contains("two"));
    // A document that is searched is one that the task reads.
    let json = house.meu(&["status", "path:docs/a.md", "--json"]).ok().json();
    assert_eq!(json["tasks"].as_array().map(Vec::len), Some(2));
}
