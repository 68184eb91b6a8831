import { connect } from "/sockeye.js";

const $ = (id) => document.getElementById(id);

// Asked for each connection: the one there is, until the server does not take it any more.
let token = null;
function tokenOrAsk() {
  if (token !== null) return token;
  $("form").hidden = false;
  $("token").focus();
  return new Promise((resolve) => {
    $("form").onsubmit = (event) => {
      event.preventDefault();
      token = $("token").value.trim();
      $("token").value = "";
      $("form").hidden = true;
      resolve(token);
    };
  });
}

const WORDS = { connecting: "Connecting", open: "Connected", reconnecting: "Connecting again", closed: "Closed" };

// Whoever has to look for a token needs more than the usual 15 s.
const client = connect("/ws", { codec: "tagged", token: tokenOrAsk, connectTimeoutMs: 600e3 });

client.on("sys.state", ({ state, code }) => {
  $("state").dataset.state = state;
  $("word").textContent = WORDS[state];
  // 1006: a refusal looks so in a browser.
  if (state === "reconnecting" && (code === 4401 || client.session === null)) token = null;
});

// What this returns is the answer.
client.on("question", ({ number, text, choices }) => new Promise((resolve) => {
  $("card").hidden = false;
  $("text").textContent = `${number}. ${text}`;
  $("choices").replaceChildren(...choices.map((choice, index) => {
    const button = document.createElement("button");
    button.className = "quiet";
    button.textContent = choice;
    button.onclick = () => {
      $("choices").replaceChildren();
      resolve({ choice: index });
    };
    return button;
  }));
}));

async function play() {
  try {
    const { player, right, of } = await client.request("play", {}, { timeoutMs: 600e3 });
    $("text").textContent = `${player}: ${right} of ${of}`;
  } catch (error) {
    $("text").textContent = `The game is over: ${error.message}`;
  }
  $("card").hidden = false;
  $("choices").replaceChildren();
  $("text").focus();
}

// A session that is lost takes the game with it.
client.on("sys.gap", () => void play());
play();
