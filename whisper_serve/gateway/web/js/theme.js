/** Light or dark: as the system has it, until somebody chooses. */

const STORED = "whisper-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

export function useTheme(button) {
  const stored = localStorage.getItem(STORED);
  if (stored) document.documentElement.dataset.theme = stored;
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem(STORED, next);
  });
}
