//! The budget: greedy by tier, by exact token counts of the text as it is sent.
//!
//! Index and pins go in whole. Then each tier in its order; within a tier what one item does not need
//! of its even share goes to the others.

use super::shorten::{Query, shorten};
use super::{Bundle, Candidate, Dropped, Form, Item, Shelf, Source, Trouble, fenced};
use crate::spec::{Policy, Tier};
use crate::text::Format;

/// Less than this and a shortened item says nothing, in tokens without its fence.
const USEFUL: usize = 16;

/// Fills a bundle with candidates and their texts, in order.
pub fn fill(
    policy: &Policy,
    candidates: Vec<(Candidate, String)>,
    query: &Query,
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
    for (_, items) in tiers {
        let left = policy.budget - bundle.used;
        let shares = shares(&items, policy.item_max, left);
        for (item, share) in items.into_iter().zip(shares) {
            // A share may not have been used up by an earlier item: what is left is what counts.
            match cut(item, share.min(policy.budget - bundle.used), query, &count) {
                Ok(item) => {
                    bundle.used += item.tokens;
                    bundle.items.push(item);
                }
                Err(dropped) => bundle.dropped.push(dropped),
            }
        }
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

/// What each item of a tier may take of what is left.
fn shares(items: &[Item], item_max: usize, left: usize) -> Vec<usize> {
    let mut shares = vec![0; items.len()];
    let mut by_need: Vec<usize> = (0..items.len()).collect();
    by_need.sort_by_key(|at| (items[*at].tokens_full, *at));
    let mut left = left;
    for (done, at) in by_need.iter().enumerate() {
        let even = left / (items.len() - done);
        shares[*at] = items[*at].tokens_full.min(item_max).min(even);
        left -= shares[*at];
    }
    shares
}

fn cut(item: Item, share: usize, query: &Query, count: &dyn Fn(&str) -> usize) -> Result<Item, Dropped> {
    if item.tokens_full <= share {
        return Ok(item);
    }
    let block = |text: &str| fenced(&item.item, item.tier, Form::Shortened, text);
    let fence = count(&block(""));
    let short = if item.form == Form::Card || share < fence + USEFUL {
        None
    } else {
        shorten(item.format, &item.text, query, share, &|text| count(&block(text)) <= share)
    };
    match short {
        Some(text) => {
            let block = block(&text);
            Ok(Item { form: Form::Shortened, tokens: count(&block), text, block, ..item })
        }
        None => Err(Dropped {
            reason: format!("no room: {share} of the {} tokens that it needs", item.tokens_full),
            tokens_full: item.tokens_full,
            item: item.item,
            tier: item.tier,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{ItemRef, Subject, TokenizerName};

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
        let bundle =
            fill(&policy(600, 600, TokenizerName::Chars), candidates, &Query::new(""), &NoFiles::default())
                .unwrap_or_default();
        let forms: Vec<Form> = bundle.items.iter().map(|item| item.form).collect();
        assert_eq!(forms, [Form::Shortened, Form::Full]);
        assert!(bundle.used > 500 && bundle.used <= 600, "{}", bundle.used);
    }

    #[test]
    fn index_and_pins_over_the_budget_are_an_error_with_the_numbers() {
        let candidates = vec![(candidate("a", Tier::Manual, true), "x".repeat(100))];
        let trouble =
            fill(&policy(50, 50, TokenizerName::Chars), candidates, &Query::new(""), &NoFiles::default());
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
        let bundle =
            fill(&policy(900, 2000, TokenizerName::Chars), candidates, &Query::new(""), &NoFiles::default())
                .unwrap_or_default();
        assert_eq!(bundle.items.iter().map(|item| item.form).collect::<Vec<_>>(), [Form::Full]);
        assert_eq!(bundle.dropped.len(), 1);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]
        #[test]
        fn no_bundle_is_over_its_budget(
            texts in proptest::collection::vec(
                ("([a-z ,.\n#]|字|。|👩‍👩‍👧|e\u{301}|</item>|\\{\"k\":1\\}){0,200}", 1usize..12, 0usize..4),
                0..8,
            ),
            budget in 0usize..700,
            item_max in 0usize..400,
            tokenizer in proptest::sample::select(TokenizerName::ALL.to_vec()),
        ) {
            let tiers = [Tier::Requires, Tier::Input, Tier::Refers, Tier::Plan];
            let candidates: Vec<_> = texts
                .into_iter()
                .enumerate()
                .map(|(at, (text, times, tier))| (candidate(&format!("t{at}"), tiers[tier], false), text.repeat(times)))
                .collect();
            let all = candidates.len();
            let policy = policy(budget, item_max, tokenizer);
            let bundle = fill(&policy, candidates, &Query::new(""), &NoFiles::default());
            let Ok(bundle) = bundle else { return Err(proptest::test_runner::TestCaseError::fail("no pins, no error")) };
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
