//! The budget: greedy by tier, by exact token counts of the text as it is sent.
//!
//! Index and pins go in whole. Then each tier in its order. Within a tier every item gets a useful part,
//! the first ones if there is not enough for all; then even shares, and what one item does not need goes
//! to the others.

use super::shorten::{Query, shorten};
use super::{Bundle, Candidate, Dropped, Form, Item, Shelf, Source, Trouble, fenced};
use crate::spec::{ItemRef, Policy, Tier, TokenizerName};
use crate::text::Format;

/// Less than this and a shortened item says nothing, in tokens without its fence.
const USEFUL: usize = 32;

/// As many characters as that is.
const USEFUL_CHARS: usize = 120;

/// Fills a bundle with candidates and their texts, in order. `card` is what stands for a candidate whose
/// text cannot be shortened into its share, if anything does.
pub fn fill(
    policy: &Policy,
    candidates: Vec<(Candidate, String)>,
    query: &Query,
    card: &dyn Fn(&ItemRef) -> Option<String>,
    shelf: &dyn Shelf,
) -> Result<Bundle, Trouble> {
    let count = |text: &str| shelf.count(policy.tokenizer, text);
    let mut bundle = Bundle::default();
    let mut tiers: Vec<(Tier, Vec<Item>)> = Vec::new();
    for (candidate, text) in candidates {
        let format = match &candidate.source {
            Source::File { path, .. } => Format::of(path.as_str()),
            Source::Card(_) => Format::Markdown,
        };
        let form = if matches!(candidate.source, Source::Card(_)) { Form::Card } else { Form::Full };
        if text.trim().is_empty() {
            bundle.dropped.push(Dropped {
                item: candidate.item,
                tier: candidate.tier,
                reason: "empty".into(),
                tokens_full: 0,
            });
            continue;
        }
        let block = fenced(&candidate.item, candidate.tier, form, &text);
        let tokens = count(&block);
        let item = Item {
            item: candidate.item,
            tier: candidate.tier,
            form,
            pinned: candidate.pinned,
            tokens,
            tokens_full: tokens,
            format,
            text,
            block,
        };
        if item.tier == Tier::Index || item.pinned {
            bundle.used += tokens;
            bundle.items.push(item);
        } else {
            match tiers.iter_mut().find(|(tier, _)| *tier == item.tier) {
                Some((_, items)) => items.push(item),
                None => tiers.push((item.tier, vec![item])),
            }
        }
    }
    if bundle.used > policy.budget {
        return Err(over(policy, &bundle));
    }
    let cutter = Cutter { policy, query, card, count: &count };
    for (_, items) in tiers {
        cutter.fill_tier(items, &mut bundle);
    }
    Ok(bundle)
}

fn over(policy: &Policy, bundle: &Bundle) -> Trouble {
    let parts: Vec<String> =
        bundle.items.iter().map(|item| format!("{} {}", item.item, item.tokens)).collect();
    Trouble::new(
        format!(
            "index and pins take {} tokens and the budget is {}: {}",
            bundle.used,
            policy.budget,
            parts.join(", ")
        ),
        "raise `budget`, choose headings with `index = [\"…\"]`, or unpin something",
    )
}

/// Cuts items into their shares.
struct Cutter<'a> {
    policy: &'a Policy,
    query: &'a Query,
    card: &'a dyn Fn(&ItemRef) -> Option<String>,
    count: &'a dyn Fn(&str) -> usize,
}

impl Cutter<'_> {
    fn fill_tier(&self, items: Vec<Item>, bundle: &mut Bundle) {
        let mut left = self.policy.budget - bundle.used;
        let shares = self.shares(&items, left);
        let mut kept: Vec<(Item, Result<Item, Dropped>)> = Vec::with_capacity(items.len());
        for (item, share) in items.into_iter().zip(shares) {
            let cut = self.cut(item.clone(), share.min(left));
            left -= cut.as_ref().map_or(0, |item| item.tokens);
            kept.push((item, cut));
        }
        // Sentences do not fill a share to the last token. What is over goes first to those who have
        // nothing yet, as much as they can use or else their card; then evenly to those who were cut.
        for (whole, cut) in kept.iter_mut().filter(|(_, cut)| cut.is_err()) {
            let room = left.min(self.policy.item_max);
            let card = || self.as_card(whole).filter(|card| card.tokens <= room);
            if let Some(found) = self.cut(whole.clone(), room).ok().or_else(card) {
                left -= found.tokens;
                *cut = Ok(found);
            }
        }
        let is_cut =
            |cut: &Result<Item, Dropped>| cut.as_ref().is_ok_and(|item| item.form == Form::Shortened);
        let mut others = kept.iter().filter(|(_, cut)| is_cut(cut)).count();
        for (whole, cut) in &mut kept {
            let Some(item) = cut.as_ref().ok().filter(|_| is_cut(cut)) else { continue };
            let before = item.tokens;
            let room = (before + left / others).min(self.policy.item_max);
            others -= 1;
            if let Some(better) = self.cut(whole.clone(), room).ok().filter(|better| better.tokens > before) {
                left -= better.tokens - before;
                *cut = Ok(better);
            }
        }
        for (_, cut) in kept {
            match cut {
                Ok(item) => {
                    bundle.used += item.tokens;
                    bundle.items.push(item);
                }
                Err(dropped) => bundle.dropped.push(dropped),
            }
        }
    }

    /// What each item of a tier may take of what is left.
    fn shares(&self, items: &[Item], left: usize) -> Vec<usize> {
        let wanted: Vec<usize> =
            items.iter().map(|item| item.tokens_full.min(self.policy.item_max)).collect();
        let mut shares = vec![0; items.len()];
        if wanted.iter().sum::<usize>() <= left {
            return wanted;
        }
        // First a useful part each, as far as there is room.
        let mut room = left;
        let mut taking: Vec<usize> = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let least = wanted[at].min(self.fence(item) + self.useful());
            if least <= room {
                room -= least;
                shares[at] = least;
                taking.push(at);
            }
        }
        // Then evenly, those who need little first: what they leave goes to the others.
        taking.sort_by_key(|at| (wanted[*at], *at));
        let mut left = left;
        for done in 0..taking.len() {
            let at = taking[done];
            let others: usize = taking[done + 1..].iter().map(|other| shares[*other]).sum();
            let even = left / (taking.len() - done);
            shares[at] = wanted[at].min(even.max(shares[at])).min(left - others);
            left -= shares[at];
        }
        shares
    }

    fn useful(&self) -> usize {
        if self.policy.tokenizer == TokenizerName::Chars { USEFUL_CHARS } else { USEFUL }
    }

    fn fence(&self, item: &Item) -> usize {
        (self.count)(&fenced(&item.item, item.tier, Form::Shortened, ""))
    }

    /// What stands for an item that cannot be shortened.
    fn as_card(&self, item: &Item) -> Option<Item> {
        let text = (self.card)(&item.item)?;
        let block = fenced(&item.item, item.tier, Form::Card, &text);
        Some(Item { form: Form::Card, tokens: (self.count)(&block), text, block, ..item.clone() })
    }

    fn cut(&self, item: Item, share: usize) -> Result<Item, Dropped> {
        if item.tokens_full <= share {
            return Ok(item);
        }
        let block = |text: &str| fenced(&item.item, item.tier, Form::Shortened, text);
        let fits = |text: &str| (self.count)(&block(text)) <= share;
        let useful = share >= self.fence(&item) + self.useful() && item.form != Form::Card;
        let short = useful.then(|| shorten(item.format, &item.text, self.query, share, &fits)).flatten();
        match short {
            Some(text) => {
                let block = block(&text);
                Ok(Item { form: Form::Shortened, tokens: (self.count)(&block), text, block, ..item })
            }
            None => Err(Dropped {
                reason: format!("no room: {share} of the {} tokens that it needs", item.tokens_full),
                tokens_full: item.tokens_full,
                item: item.item,
                tier: item.tier,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Subject;

    #[derive(Default)]
    struct NoFiles(std::cell::RefCell<crate::context::Corpus>);

    impl Shelf for NoFiles {
        fn digest(
            &self,
            _: &crate::path::RelPath,
        ) -> Result<Option<crate::digest::Digest>, super::super::Unreadable> {
            Ok(None)
        }
        fn text(
            &self,
            _: &crate::path::RelPath,
        ) -> Result<Option<std::sync::Arc<str>>, super::super::Unreadable> {
            Ok(None)
        }
        fn corpus(&self) -> std::cell::RefMut<'_, crate::context::Corpus> {
            self.0.borrow_mut()
        }
    }

    fn candidate(name: &str, tier: Tier, pinned: bool) -> Candidate {
        Candidate {
            item: ItemRef::whole(Subject::Task(name.into())),
            tier,
            pinned,
            source: Source::File {
                path: crate::path::RelPath::parse(name).unwrap_or_else(|_| unreachable!()),
                output_of: None,
                literal: true,
            },
        }
    }

    fn policy(budget: usize, item_max: usize, tokenizer: TokenizerName) -> Policy {
        Policy { budget, item_max, tokenizer, ..Policy::default() }
    }

    #[test]
    fn what_one_item_leaves_goes_to_the_others() {
        let text = |n: usize| "A sentence here. ".repeat(n);
        let candidates = vec![
            (candidate("a", Tier::Requires, false), text(40)),
            (candidate("b", Tier::Requires, false), text(2)),
        ];
        let bundle = fill(
            &policy(600, 600, TokenizerName::Chars),
            candidates,
            &Query::new(""),
            &|_| None,
            &NoFiles::default(),
        )
        .unwrap_or_default();
        let forms: Vec<Form> = bundle.items.iter().map(|item| item.form).collect();
        assert_eq!(forms, [Form::Shortened, Form::Full]);
        assert!(bundle.used > 500 && bundle.used <= 600, "{}", bundle.used);
    }

    #[test]
    fn index_and_pins_over_the_budget_are_an_error_with_the_numbers() {
        let candidates = vec![(candidate("a", Tier::Manual, true), "x".repeat(100))];
        let trouble = fill(
            &policy(50, 50, TokenizerName::Chars),
            candidates,
            &Query::new(""),
            &|_| None,
            &NoFiles::default(),
        );
        // 51 characters of head (`<item source="task:a" type="manual" form="full">` and its end), 100, 9 of the tail.
        let head = "<item source=\"task:a\" type=\"manual\" form=\"full\">\n".len();
        let sum = head + 100 + "\n</item>\n".len();
        assert_eq!(
            trouble.err().map(|trouble| trouble.message),
            Some(format!("index and pins take {sum} tokens and the budget is 50: task:a {sum}"))
        );
    }

    #[test]
    fn tiers_are_filled_in_order() {
        let long = "Words and more words here. ".repeat(30);
        let candidates = vec![
            (candidate("a", Tier::Requires, false), long.clone()),
            (candidate("b", Tier::Refers, false), long),
        ];
        let bundle = fill(
            &policy(900, 2000, TokenizerName::Chars),
            candidates,
            &Query::new(""),
            &|_| None,
            &NoFiles::default(),
        )
        .unwrap_or_default();
        assert_eq!(bundle.items.iter().map(|item| item.form).collect::<Vec<_>>(), [Form::Full]);
        assert_eq!(bundle.dropped.len(), 1);
    }

    #[test]
    fn each_item_gets_a_useful_part_before_one_gets_much() {
        let text = |n: usize| "A sentence of some words here. ".repeat(n);
        let candidates: Vec<_> =
            ["a", "b", "c"].iter().map(|name| (candidate(name, Tier::Requires, false), text(40))).collect();
        // Room for two useful parts with their fences (74 + 120 characters each), not for three.
        let filled = |budget| {
            fill(
                &policy(budget, 2000, TokenizerName::Chars),
                candidates.clone(),
                &Query::new(""),
                &|_| None,
                &NoFiles::default(),
            )
            .unwrap_or_default()
        };
        let names = |bundle: &Bundle| -> Vec<String> {
            bundle.items.iter().map(|item| item.item.to_string()).collect()
        };
        assert_eq!(names(&filled(420)), ["task:a", "task:b"]);
        assert_eq!(names(&filled(620)), ["task:a", "task:b", "task:c"]);
    }

    #[test]
    fn a_card_stands_for_what_cannot_be_shortened() {
        let json = format!("{{\"key\": \"{}\"}}", "x".repeat(400));
        let mut data = candidate("a.json", Tier::Requires, false);
        data.item = ItemRef::whole(Subject::Task("a".into()));
        let card = |_: &ItemRef| Some("Title".to_owned());
        let policy = policy(70, 2000, TokenizerName::Chars);
        let bundle = fill(&policy, vec![(data, json)], &Query::new(""), &card, &NoFiles::default())
            .unwrap_or_default();
        assert_eq!(bundle.items.iter().map(|item| item.form).collect::<Vec<_>>(), [Form::Card]);
        assert!(bundle.used <= 70);
    }

    /// Texts as people and programs write them, and as they do not.
    fn any_text() -> impl proptest::strategy::Strategy<Value = String> {
        use proptest::prelude::*;
        prop_oneof![
            "([a-z ,.\n#`|-]|字|。|👩‍👩‍👧|e\u{301}|</item>|\\{\"k\":1\\}){0,200}",
            "([A-Z][a-z]{1,9}( [a-z]{1,9}){2,12}\\. ){0,12}",
            "# [a-z]{3,9}\n\n(- [a-z ]{5,40}\n){0,12}",
            "[一-龥。，]{0,120}",
            "[!-~]{0,400}",
            proptest::collection::vec(any::<char>(), 0..120).prop_map(|chars| chars.into_iter().collect()),
            "(\\{\"k\":\\[[0-9,]{0,60}0\\],\"t\":\"[a-z]{0,80}\"\\})",
            "a,b\n([0-9]{1,6},[a-z]{0,20}\n){0,20}",
        ]
    }

    // The law in full is this with PROPTEST_CASES=100000.
    proptest::proptest! {
        #[test]
        fn no_bundle_is_over_its_budget(
            texts in proptest::collection::vec((any_text(), 1usize..12, 0usize..5, 0usize..5), 0..8),
            query in "[a-z ]{0,30}",
            budget in 0usize..700,
            item_max in 0usize..400,
            tokenizer in proptest::sample::select(TokenizerName::ALL.to_vec()),
        ) {
            let tiers = [Tier::Requires, Tier::Input, Tier::Refers, Tier::Plan, Tier::Retrieved];
            let names = ["md", "json", "csv", "rs", "yaml"];
            let candidates: Vec<_> = texts
                .into_iter()
                .enumerate()
                .map(|(at, (text, times, tier, name))| {
                    (candidate(&format!("t{at}.{}", names[name]), tiers[tier], false), text.repeat(times))
                })
                .collect();
            let all = candidates.len();
            let policy = policy(budget, item_max, tokenizer);
            let card = |item: &ItemRef| Some(format!("Card of {item}"));
            let shelf = NoFiles::default();
            let Ok(bundle) = fill(&policy, candidates, &Query::new(&query), &card, &shelf) else {
                return Err(proptest::test_runner::TestCaseError::fail("no pins, no error"));
            };
            let sent: String = bundle.items.iter().map(|item| item.block.as_str()).collect();
            let counted = crate::text::count(tokenizer, &sent);
            proptest::prop_assert!(counted <= budget, "{} of {}", counted, budget);
            proptest::prop_assert_eq!(counted, bundle.used, "the sum of the blocks is the count of the whole");
            proptest::prop_assert_eq!(all, bundle.items.len() + bundle.dropped.len());
            for item in &bundle.items {
                proptest::prop_assert!(item.tokens <= item_max.max(item.tokens_full.min(item_max)));
            }
        }
    }
}
