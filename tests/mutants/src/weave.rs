//! One source with all its mutants, each behind a number.
//!
//! `a + b` becomes `(match crate::mutant(7) { 7 => a - b, 8 => a * b, _ => a + b })`, a function begins with
//! `if crate::mutant(9) == 9 { return false; }`: so all mutants are built at once, and which one is alive a variable of the
//! environment says when a test starts. What is not compiled that way is left out by its number (`without`).

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::list::{Genre, Mutant, Position};

/// What crate::mutant is, at the end of lib.rs. Where `SOCKEYE_REACHED` names a file, each number is written to it when it
/// is reached for the first time.
pub const RUNTIME: &str = r#"
#[doc(hidden)]
pub fn mutant(first: u32) -> u32 {
    use std::sync::atomic::{AtomicU64, Ordering};
    struct State { alive: u32, reached: Option<std::fs::File> }
    static STATE: std::sync::OnceLock<State> = std::sync::OnceLock::new();
    static SEEN: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];
    let state = STATE.get_or_init(|| State {
        alive: std::env::var("SOCKEYE_MUTANT").ok().and_then(|id| id.parse().ok()).unwrap_or(0),
        reached: std::env::var_os("SOCKEYE_REACHED")
            .and_then(|path| std::fs::OpenOptions::new().create(true).append(true).open(path).ok()),
    });
    if let Some(mut file) = state.reached.as_ref() {
        let bit = 1 << (first % 64);
        if SEEN[first as usize / 64].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            // Tests that count what is allocated are not to count this.
            let mut text = [b' '; 16];
            let _ = std::io::Write::write_fmt(&mut &mut text[..15], format_args!("{first}"));
            text[15] = b'\n';
            let _ = std::io::Write::write_all(&mut file, &text);
        }
    }
    state.alive
}
"#;

pub struct Woven {
    pub text: String,
    /// Which mutants a range of the text is made for.
    pub ranges: Vec<(Range<usize>, Vec<u32>)>,
    /// The number that is said when the place of a mutant is reached.
    pub reached_by: HashMap<u32, u32>,
}

impl Woven {
    /// The mutants of the innermost range around this byte.
    pub fn around(&self, byte: usize) -> Option<&[u32]> {
        let around = self.ranges.iter().filter(|(range, _)| range.contains(&byte));
        around.min_by_key(|(range, _)| range.len()).map(|(_, ids)| ids.as_slice())
    }

    /// The mutants of the last range before this byte: another return may decide which type an `impl Trait` is.
    pub fn before(&self, byte: usize) -> Option<&[u32]> {
        let before = self.ranges.iter().filter(|(range, _)| range.end <= byte);
        before.max_by_key(|(range, _)| range.end).map(|(_, ids)| ids.as_slice())
    }
}

/// Functions named in `constant` stay `const`; all others are not, for a number from outside is not known to the compiler.
pub fn weave(
    source: &str,
    mutants: &[&Mutant],
    without: &HashSet<u32>,
    constant: &HashSet<String>,
) -> Result<Woven, String> {
    let file = syn::parse_file(source).map_err(|error| format!("{error}"))?;
    let mut places = Places {
        mutants: mutants.iter().copied().filter(|mutant| !without.contains(&mutant.id)).collect(),
        constant,
        found: Vec::new(),
    };
    places.visit_file(&file);
    let mut nodes = places.found;
    nodes.sort_by_key(|node| {
        (node.range.start, !node.range.is_empty(), Reverse(node.range.end), node.rank())
    });
    let mut writer = Writer {
        source,
        out: String::with_capacity(source.len() * 2),
        ranges: Vec::new(),
        reached_by: HashMap::new(),
    };
    writer.write(0..source.len(), &nodes);
    Ok(Woven { text: writer.out, ranges: writer.ranges, reached_by: writer.reached_by })
}

/// A place that is written anew.
struct Node {
    range: Range<usize>,
    kind: Kind,
}

type Choices = Vec<(u32, String)>;

enum Kind {
    /// `const` before `fn`, and the blank behind it.
    Const,
    /// The first thing in a function.
    Body(Choices),
    /// No guard yet, and the arm that goes away.
    Arm(u32),
    Guard {
        away: Option<u32>,
        choices: Choices,
    },
    Binary {
        operator: Range<usize>,
        choices: Choices,
    },
    Unary {
        operator: Range<usize>,
        id: u32,
    },
    /// Written as it is: arms that go away may leave it open.
    Match(Vec<u32>),
}

impl Node {
    /// Which is outside where two are the same range.
    const fn rank(&self) -> u8 {
        if matches!(self.kind, Kind::Guard { .. } | Kind::Match(_)) { 0 } else { 1 }
    }
}

struct Places<'a> {
    mutants: Vec<&'a Mutant>,
    constant: &'a HashSet<String>,
    found: Vec<Node>,
}

impl Places<'_> {
    fn at(&self, genre: Genre, start: LineColumn) -> Choices {
        let start = Position { line: start.line, column: start.column + 1 };
        let here = self
            .mutants
            .iter()
            .filter(|mutant| mutant.genre == genre && mutant.span.start == start);
        here.map(|mutant| (mutant.id, mutant.replacement.clone())).collect()
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        if let Some(constant) = signature.constness
            && !self.constant.contains(&signature.ident.to_string())
        {
            let range = constant.span.byte_range();
            self.found.push(Node { range: range.start..range.end + 1, kind: Kind::Const });
        }
        let Some(first) = block.stmts.first() else { return };
        let choices = self.at(Genre::FnValue, first.span().start());
        if !choices.is_empty() {
            let start = first.span().byte_range().start;
            self.found.push(Node { range: start..start, kind: Kind::Body(choices) });
        }
    }
}

fn has_let(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Places<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let away = self.at(Genre::MatchArm, arm.span().start()).first().map(|(id, _)| *id);
        let guard = arm.guard.as_ref().map(|(_, guard)| guard);
        let choices = guard
            .map(|guard| self.at(Genre::MatchArmGuard, guard.span().start()))
            .unwrap_or_default();
        match guard {
            Some(guard) if !has_let(guard) && (away.is_some() || !choices.is_empty()) => {
                self.found.push(Node {
                    range: guard.span().byte_range(),
                    kind: Kind::Guard { away, choices },
                });
            }
            None if let Some(id) = away => {
                let end = arm.pat.span().byte_range().end;
                self.found.push(Node { range: end..end, kind: Kind::Arm(id) });
            }
            _ => {}
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_match(&mut self, one: &'ast syn::ExprMatch) {
        let away = |arm: &syn::Arm| Some(self.at(Genre::MatchArm, arm.span().start()).first()?.0);
        let ids: Vec<u32> = one.arms.iter().filter_map(away).collect();
        if !ids.is_empty() {
            self.found.push(Node { range: one.span().byte_range(), kind: Kind::Match(ids) });
        }
        visit::visit_expr_match(self, one);
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let choices = self.at(Genre::BinaryOperator, binary.op.span().start());
        if !choices.is_empty() && !has_let(&binary.left) && !has_let(&binary.right) {
            let operator = binary.op.span().byte_range();
            self.found.push(Node {
                range: binary.span().byte_range(),
                kind: Kind::Binary { operator, choices },
            });
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        if let Some(&(id, _)) = self.at(Genre::UnaryOperator, unary.op.span().start()).first() {
            let operator = unary.op.span().byte_range();
            self.found.push(Node {
                range: unary.span().byte_range(),
                kind: Kind::Unary { operator, id },
            });
        }
        visit::visit_expr_unary(self, unary);
    }
}

struct Writer<'a> {
    source: &'a str,
    out: String,
    ranges: Vec<(Range<usize>, Vec<u32>)>,
    reached_by: HashMap<u32, u32>,
}

impl Writer<'_> {
    /// The source of this range, with what is in it.
    fn write(&mut self, range: Range<usize>, nodes: &[Node]) {
        let mut at = range.start;
        let mut rest = nodes;
        while let Some((node, behind)) = rest.split_first() {
            let inside = behind.partition_point(|other| other.range.start < node.range.end);
            self.out.push_str(&self.source[at..node.range.start]);
            self.node(node, &behind[..inside]);
            at = node.range.end;
            rest = &behind[inside..];
        }
        self.out.push_str(&self.source[at..range.end]);
    }

    fn node(&mut self, node: &Node, inside: &[Node]) {
        let start = self.out.len();
        let source = self.source;
        let ids: Vec<u32> = match &node.kind {
            Kind::Const => Vec::new(),
            Kind::Body(choices) => {
                for (id, replacement) in choices {
                    let begins = self.out.len();
                    self.out.push_str(&format!(
                        "if crate::mutant({id}) == {id} {{ return {replacement}; }} "
                    ));
                    self.made(begins, &[*id]);
                    self.reached_by.insert(*id, *id);
                }
                Vec::new()
            }
            Kind::Arm(id) => {
                self.out.push_str(&format!(" if crate::mutant({id}) != {id}"));
                self.reached_by.insert(*id, *id);
                vec![*id]
            }
            Kind::Guard { away, choices } => {
                if let Some(id) = away {
                    self.out.push_str(&format!("crate::mutant({id}) != {id} && "));
                    self.reached_by.insert(*id, *id);
                }
                self.choose(
                    choices,
                    |choice| choice.to_owned(),
                    |this| this.write(node.range.clone(), inside),
                );
                away.iter().copied().chain(choices.iter().map(|(id, _)| *id)).collect()
            }
            Kind::Binary { operator, choices } => {
                let left = &source[node.range.start..operator.start];
                let right = &source[operator.end..node.range.end];
                self.choose(
                    choices,
                    |choice| format!("{left}{choice}{right}"),
                    |this| this.write(node.range.clone(), inside),
                );
                choices.iter().map(|(id, _)| *id).collect()
            }
            Kind::Unary { operator, id } => {
                let without = &source[operator.end..node.range.end];
                self.choose(
                    &[(*id, String::new())],
                    |_| without.to_owned(),
                    |this| this.write(node.range.clone(), inside),
                );
                vec![*id]
            }
            Kind::Match(ids) => {
                self.write(node.range.clone(), inside);
                ids.clone()
            }
        };
        self.made(start, &ids);
    }

    fn choose(
        &mut self,
        choices: &[(u32, String)],
        text: impl Fn(&str) -> String,
        otherwise: impl FnOnce(&mut Self),
    ) {
        let Some(&(first, _)) = choices.first() else {
            return otherwise(self);
        };
        self.out.push_str(&format!("(match crate::mutant({first}) {{ "));
        for (id, choice) in choices {
            let begins = self.out.len();
            self.out.push_str(&format!("{id} => {{ {} }} ", text(choice)));
            self.made(begins, &[*id]);
            self.reached_by.insert(*id, first);
        }
        self.out.push_str("_ => { ");
        otherwise(self);
        self.out.push_str(" } })");
    }

    fn made(&mut self, start: usize, ids: &[u32]) {
        if !ids.is_empty() {
            self.ranges.push((start..self.out.len(), ids.to_vec()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{Position, Span};

    const SOURCE: &str = "const fn f(a: u32, b: u32) -> bool {\n    match a + b {\n        1 if !(a > b) => true,\n        2 => true,\n        _ => false,\n    }\n}\n";

    fn mutant(id: u32, genre: Genre, line: usize, column: usize, replacement: &str) -> Mutant {
        let start = Position { line, column };
        let (name, file) = (String::new(), "src/lib.rs".to_owned());
        Mutant { id, name, file, genre, replacement: replacement.to_owned(), span: Span { start } }
    }

    /// Every kind of mutant, some inside of others, is in one text that is a program, and is found by its place.
    #[test]
    fn all_mutants_stand_in_one_source() {
        let mutants = [
            mutant(1, Genre::FnValue, 2, 5, "true"),
            mutant(2, Genre::BinaryOperator, 2, 13, "-"),
            mutant(3, Genre::BinaryOperator, 2, 13, "*"),
            mutant(4, Genre::MatchArmGuard, 3, 14, "true"),
            mutant(5, Genre::UnaryOperator, 3, 14, ""),
            mutant(6, Genre::BinaryOperator, 3, 18, "=="),
            mutant(7, Genre::MatchArm, 4, 9, ""),
        ];
        let all: Vec<&Mutant> = mutants.iter().collect();
        let woven = weave(SOURCE, &all, &HashSet::new(), &HashSet::new()).unwrap();
        let text = &woven.text;
        syn::parse_file(text).unwrap();
        assert!(text.starts_with("fn f("), "{text}");
        for part in [
            "if crate::mutant(1) == 1 { return true; }",
            "2 => { a - b } 3 => { a * b } _ => { a + b }",
            "4 => { true } _ => { (match crate::mutant(5) { 5 => { (a > b) } _ => { !((match crate::mutant(6) { 6 => { a == b } _ => { a > b } })) } }) }",
            "2 if crate::mutant(7) != 7 => true",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!(woven.around(text.find("a * b").unwrap()), Some(&[3][..]));
        assert_eq!(woven.reached_by[&3], 2);
        assert_eq!(woven.reached_by.len(), 7);

        // What is left out leaves nothing behind, and what must stay constant does.
        let (without, constant) = ((1..=7).collect(), HashSet::from(["f".to_owned()]));
        assert_eq!(weave(SOURCE, &all, &without, &constant).unwrap().text, SOURCE);
    }
}
