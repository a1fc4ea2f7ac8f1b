// The tokens of files by gpt-tokenizer, in the form of `cargo bench --bench quality -- tokens FILE...`.
// Needs: npm install gpt-tokenizer. Two equal outputs are two tokenizers that agree.
// They differ at U+FEFF inside a text: JavaScript's \s has it, the white space of the published patterns not.
import { readFileSync } from "node:fs";
import * as o200k from "gpt-tokenizer/encoding/o200k_base";
import * as cl100k from "gpt-tokenizer/encoding/cl100k_base";

const plain = { disallowedSpecial: new Set() }; // special tokens are plain text
for (const file of process.argv.slice(2)) {
  const bytes = readFileSync(file);
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  if (!Buffer.from(text, "utf-8").equals(bytes)) continue; // not UTF-8: meu does not read it either
  console.log(`${o200k.encode(text, plain).length}\t${cl100k.encode(text, plain).length}\t${file}`);
}
