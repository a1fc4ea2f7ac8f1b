//! `meu schema`: what editors are told is what the readers take.

use serde_json::{Value, json};

use crate::house::House;

fn schema(of: &str) -> jsonschema::Validator {
    let said = House::empty().meu(&["schema", of]).ok();
    jsonschema::validator_for(&said.json()).expect("a schema")
}

fn data(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).expect("TOML")).expect("JSON")
}

fn toml_files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        match entry.path() {
            path if path.is_dir() => toml_files(&path, found),
            path if path.extension().is_some_and(|extension| extension == "toml") => found.push(path),
            _ => {}
        }
    }
}

#[test]
fn every_example_fits() {
    let (task, project) = (schema("task"), schema("project"));
    let mut files = Vec::new();
    toml_files(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"), &mut files);
    assert!(files.len() > 20, "{}", files.len());
    for file in files {
        let value = data(&std::fs::read_to_string(&file).expect("a file"));
        let schema = if file.ends_with("meu.toml") { &project } else { &task };
        let faults: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(faults, [""; 0], "{}", file.display());
    }
}

#[test]
fn what_the_readers_refuse_the_schema_refuses() {
    let (task, project) = (schema("task"), schema("project"));
    for good in [
        "run = [\"sh\", \"x\"]\n",
        "run = \"template\"\npriority = -5\n[context]\nretrieve = { k = 3, from = \"earlier\", embed = { provider = \"p\", model = \"m\" } }\n[vars]\nx = { y = [1] }\n",
        "[tasks.one]\nprompt = \"x\"\n[tasks.two.expect]\nformat = \"json\"\ncontains = [\"x\"]\nrepairs = 2\n",
    ] {
        assert!(task.is_valid(&data(good)), "{good}");
    }
    for bad in [
        "promt = \"x\"\n",
        "priority = \"high\"\n",
        "run = \"modle\"\n",
        "requires = \"a\"\n",
        "[context]\ntokenizer = \"words\"\n",
        "[context]\ntiers = [\"index\", \"wrong\"]\n",
        "[model]\ntemperature = -1.0\n",
        "[expect]\nrepairs = 99\n",
        "[tasks.one]\npromt = \"x\"\n",
    ] {
        assert!(!task.is_valid(&data(bad)), "{bad}");
    }
    let good = "[providers.any]\napi = \"ollama\"\nprice = { input = 1, output = 2.5 }\n[providers.any.extra]\ntop_p = 1\n[redact]\nsecrets = \"refuse\"\n";
    assert!(project.is_valid(&data(good)));
    for bad in [
        "[providers.any]\napi = \"opena\"\n",
        "[providers.any]\nconcurrency = 0\n",
        "[redact]\nsecrets = \"hide\"\n",
        "[projekt]\n",
    ] {
        assert!(!project.is_valid(&data(bad)), "{bad}");
    }
    let said = House::empty().meu(&["schema"]).ok().json();
    assert_eq!(
        said["properties"]["run"]["anyOf"][0]["enum"],
        json!(["model", "template", "assemble", "manual"])
    );
}

#[test]
fn files_that_meu_writes_name_their_schema() {
    let house = House::empty();
    house.meu(&["init"]).ok();
    house.meu(&["new", "deep/part"]).ok();
    let schema_of = |path: &str| {
        let text = house.read(path);
        let line =
            text.lines().next().expect("a line").strip_prefix("#:schema ").expect("a directive").to_owned();
        let full = house.root().join(path).parent().expect("a folder").join(line);
        std::fs::canonicalize(full).expect("the schema is there")
    };
    let root = std::fs::canonicalize(house.root()).expect("a folder");
    for (path, schema) in [
        ("meu.toml", ".schema/meu.json"),
        ("tasks/overview.toml", ".schema/task.json"),
        ("tasks/deep/part.toml", ".schema/task.json"),
    ] {
        assert_eq!(schema_of(path), root.join(schema), "{path}");
    }
    house.meu(&["mv", "deep/part", "part"]).ok();
    assert_eq!(schema_of("tasks/part.toml"), root.join(".schema/task.json"));
    assert_eq!(house.read(".schema/task.json"), house.meu(&["schema"]).ok().out);
    // It is no document, and no run minds it.
    house.meu(&["run"]).ok();
    assert_eq!(house.meu(&["status", "--check"]).code, 0);
}
