// Keeps an open page true: counts down, puts times into the reader's own, and shows what others decided.
"use strict";

const MINUTE = 60;
const HOUR = 3600;

function remaining(until) {
  const seconds = Math.round((until - Date.now()) / 1000);
  if (seconds <= 0) return "now";
  if (seconds < MINUTE) return `in ${seconds} s`;
  if (seconds < HOUR) return `in ${Math.floor(seconds / MINUTE)} min`;
  const hours = Math.floor(seconds / HOUR);
  return hours < 48 ? `in ${hours} h ${Math.floor((seconds % HOUR) / MINUTE)} min` : `in ${Math.floor(hours / 24)} days`;
}

function showTimes() {
  for (const element of document.querySelectorAll("time[data-countdown]")) {
    element.title = new Date(element.dateTime).toLocaleString();
    element.textContent = remaining(Date.parse(element.dateTime));
  }
  for (const element of document.querySelectorAll("time[data-moment]")) {
    element.title = element.dateTime;
    element.textContent = new Date(element.dateTime).toLocaleString();
  }
  // The server refuses what comes too soon; this only saves the attempt.
  for (const button of document.querySelectorAll("button[data-from]")) {
    button.disabled = Date.now() < Date.parse(button.dataset.from) + 999;
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function refresh(container) {
  let shown = null;
  for (;;) {
    await pause(3000);
    if (document.hidden) continue;
    try {
      const answer = await fetch(container.dataset.refresh, { redirect: "manual" });
      if (answer.type === "opaqueredirect") return location.reload();
      if (!answer.ok) continue;
      const text = await answer.text();
      if (text !== shown && !container.contains(document.activeElement)) {
        // Made by the same escaping templates as the page itself.
        if (shown !== null) container.innerHTML = text;
        shown = text;
        const count = container.querySelectorAll(".cards > li").length;
        document.title = `${count ? `(${count}) ` : ""}Inbox · hitl`;
        showTimes();
      }
    } catch {
      await pause(3000);
    }
  }
}

async function reloadWhenEnded(article) {
  for (;;) {
    try {
      const answer = await fetch(article.dataset.wait, { redirect: "manual" });
      if (answer.type === "opaqueredirect") return location.reload();
      if (!answer.ok) await pause(5000);
      else if ((await answer.json()).ended) return location.reload();
    } catch {
      await pause(3000);
    }
  }
}

showTimes();
setInterval(showTimes, 1000);
document.querySelectorAll("[data-refresh]").forEach(refresh);
document.querySelectorAll("[data-wait]").forEach(reloadWhenEnded);
