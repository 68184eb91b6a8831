//! Messages as applications send them: chat, tickers, nested objects. The same for the same seed.

/// One message of exactly so many bytes: the last object may be cut.
pub(crate) fn message(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let write = [chat, ticker, nested][seed as usize % 3];
    let mut text = String::with_capacity(bytes + 512);
    while text.len() < bytes {
        text.push(if text.is_empty() { '[' } else { ',' });
        write(&mut random, &mut text);
    }
    text.truncate(bytes);
    text.into_bytes()
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }

    fn time(&mut self) -> String {
        let (day, hour, minute) = (1 + self.below(28), self.below(24), self.below(60));
        let (second, milli) = (self.below(60), self.below(1000));
        format!("2025-06-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }

    fn sentence(&mut self) -> String {
        let words: Vec<&str> = (0..3 + self.below(14)).map(|_| self.one(&WORDS)).collect();
        words.join(" ")
    }
}

const NAMES: [&str; 16] = [
    "alice", "bob", "carol", "dmitri", "erin", "faythe", "grace", "heidi", "ivan", "judy",
    "mallory", "niaj", "olivia", "peggy", "rupert", "sybil",
];

const WORDS: [&str; 64] = [
    "the", "of", "and", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on", "are",
    "with", "as", "they", "be", "at", "one", "have", "this", "from", "or", "had", "by", "hot",
    "but", "some", "what", "there", "we", "can", "out", "other", "were", "all", "your", "when",
    "meeting", "deploy", "server", "tomorrow", "thanks", "lunch", "review", "please", "ticket",
    "release", "broken", "fixed", "morning", "coffee", "latency", "weekend", "customer", "ok",
    "great", "really", "don't", "think", "haven't", "seen", "yet",
];

const SYMBOLS: [&str; 12] = [
    "BTC-USD", "ETH-USD", "SOL-USD", "EUR-USD", "AAPL", "MSFT", "GOOG", "AMZN", "TSLA", "NVDA",
    "ADA-EUR", "XRP-EUR",
];

fn chat(random: &mut Random, text: &mut String) {
    let (id, name) = (random.below(10_000_000), random.one(&NAMES));
    let (room, time, body) = (random.below(500), random.time(), random.sentence());
    let kind = random.one(&["message", "message", "message", "edit", "reaction"]);
    text.push_str(&format!(
        r#"{{"type":"{kind}","id":{id},"room":"room-{room}","from":{{"id":{},"name":"{name}"}},"sent":"{time}","text":"{body}"}}"#,
        random.below(100_000),
    ));
}

fn ticker(random: &mut Random, text: &mut String) {
    let (symbol, price) = (random.one(&SYMBOLS), random.below(9_000_000) + 1_000_000);
    let (spread, volume) = (random.below(500), random.below(1_000_000_000));
    let change = random.below(2_000) as f64 / 100.0 - 10.0;
    text.push_str(&format!(
        r#"{{"s":"{symbol}","p":"{}.{:02}","b":"{}.{:02}","a":"{}.{:02}","v":{}.{:04},"c":{change:.2},"t":{}}}"#,
        price / 100, price % 100, (price - spread) / 100, (price - spread) % 100,
        (price + spread) / 100, (price + spread) % 100, volume / 10_000, volume % 10_000,
        1_750_000_000_000 + random.below(86_400_000),
    ));
}

fn nested(random: &mut Random, text: &mut String) {
    let (high, low) = (random.next() & 0xffff_ffff, random.next() & 0xffff_ffff_ffff);
    let (name, domain) =
        (random.one(&NAMES), random.one(&["example.com", "example.org", "test.net"]));
    let tags: Vec<String> =
        (0..random.below(4)).map(|_| format!("\"{}\"", random.one(&WORDS))).collect();
    text.push_str(&format!(
        r#"{{"event":"{}","uuid":"{high:08x}-{:04x}-4{:03x}-{low:012x}","created_at":"{}","user":{{"id":{},"name":"{name}","email":"{name}{}@{domain}","active":{},"roles":["{}"]}},"payload":{{"count":{},"ratio":0.{:06},"tags":[{}],"parent":null}}}}"#,
        random.one(&["order.created", "order.updated", "user.login", "cart.changed"]),
        random.below(0x1_0000), random.below(0x1000), random.time(), random.below(1_000_000),
        random.below(100), random.one(&["true", "false"]), random.one(&["admin", "editor", "viewer"]),
        random.below(300), random.below(1_000_000), tags.join(","),
    ));
}
