/** Light or dark: as the system has it, until somebody chooses. */

const STORED = "whisper-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

export function useTheme(button) {
  const root = document.documentElement;
  const show = () => (root.dataset.theme = localStorage.getItem(STORED) ?? (dark.matches ? "dark" : "light"));
  show();
  dark.addEventListener("change", show);
  button.addEventListener("click", () => {
    localStorage.setItem(STORED, root.dataset.theme === "dark" ? "light" : "dark");
    show();
  });
}
