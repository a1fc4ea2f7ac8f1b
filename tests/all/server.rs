//! A real HTTP server on loopback that does as a test says, and keeps what it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub head: String,
    pub body: Value,
    pub at: Instant,
}

impl Seen {
    /// The last line of the user's message: the prompt of most tests.
    pub fn prompt(&self) -> String {
        let messages = self.body["messages"].as_array().expect("messages");
        let content = &messages.last().expect("a message")["content"];
        let text = content.as_str().map(str::to_owned).unwrap_or_else(|| {
            content
                .as_array()
                .expect("blocks")
                .iter()
                .map(|block| block["text"].as_str().expect("text"))
                .collect()
        });
        text.lines().rfind(|line| !line.trim().is_empty()).expect("a line").to_owned()
    }

    /// The line of the head that begins so, in lower case.
    pub fn line(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// What a server does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A whole answer: status, lines of its head, body.
    Whole(u16, String, String),
    /// A status-200 answer of these bytes, one at a time, until the connection is closed.
    Drops(Vec<u8>),
    /// The same, but the connection is reset where a clean end would be.
    Broken(Vec<u8>),
    /// Nothing, until the client gives up.
    Silence,
}

pub struct Server {
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    most: Arc<AtomicUsize>,
}

impl Server {
    /// A server that gives these answers in turn, and then refuses to listen.
    pub fn of(answers: Vec<Reply>) -> Server {
        let answers = Mutex::new(answers.into_iter());
        Server::new(move |_, _| {
            answers.lock().expect("answers").next().unwrap_or(Reply::Whole(
                418,
                String::new(),
                "no more answers".into(),
            ))
        })
    }

    /// A server that answers as a function of the request and of how many came before it.
    pub fn new(reply: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let most: Arc<AtomicUsize> = Arc::default();
        let (kept, reached, reply) = (seen.clone(), most.clone(), Arc::new(reply));
        std::thread::spawn(move || {
            let under_way = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming().flatten() {
                let (kept, reached, reply) = (kept.clone(), reached.clone(), reply.clone());
                let under_way = under_way.clone();
                std::thread::spawn(move || {
                    let Some(seen) = read(&stream) else { return };
                    reached.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let number = {
                        let mut kept = kept.lock().expect("kept");
                        kept.push(seen.clone());
                        kept.len() - 1
                    };
                    let reply = reply(number, &seen);
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    write(stream, reply);
                });
            }
        });
        Server { address, seen, most }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("seen").clone()
    }

    /// The prompts that came, in order.
    pub fn prompts(&self) -> Vec<String> {
        self.seen().iter().map(Seen::prompt).collect()
    }

    /// The most requests that were under way at once.
    pub fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

fn read(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push_str(&line);
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).ok()?;
    Some(Seen { head, body: serde_json::from_slice(&bytes).unwrap_or_default(), at: Instant::now() })
}

fn write(mut stream: TcpStream, reply: Reply) {
    // A client that was killed reads nothing.
    let _ = match reply {
        Reply::Whole(status, lines, body) => write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{lines}\r\n{body}",
            body.len()
        ),
        Reply::Drops(bytes) => drops(&mut stream, &bytes).and_then(|()| stream.write_all(b"0\r\n\r\n")),
        Reply::Broken(bytes) => drops(&mut stream, &bytes).and_then(|()| stream.shutdown(Shutdown::Both)),
        Reply::Silence => stream.read(&mut [0]).map(drop),
    };
}

/// Chunks of one byte each.
fn drops(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
    )?;
    bytes.iter().try_for_each(|byte| stream.write_all(&[b'1', b'\r', b'\n', *byte, b'\r', b'\n']))
}

/// A whole chat completion; 11 tokens in, 7 out.
pub fn whole(text: &str) -> Reply {
    let body = json!({
        "model": "m-2026", "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7}
    });
    Reply::Whole(200, String::new(), body.to_string())
}

/// An error as OpenAI says it.
pub fn error(status: u16, lines: &str, code: &str, message: &str) -> Reply {
    let body = json!({"error": {"message": message, "type": code, "code": code}});
    Reply::Whole(status, lines.to_owned(), body.to_string())
}

/// Events of a stream.
pub fn events(events: &[Value]) -> Vec<u8> {
    events.iter().flat_map(|event| format!("data: {event}\n\n").into_bytes()).collect()
}

/// A chunk of a streamed chat completion.
pub fn chunk(text: &str, finish: Option<&str>) -> Value {
    json!({"model": "m-2026", "choices": [{"delta": {"content": text}, "finish_reason": finish}]})
}
