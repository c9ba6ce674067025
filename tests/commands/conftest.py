from tests.transcribing.conftest import model_folder, root, spoken, with_pauses

__all__ = ["model_folder", "root", "spoken", "with_pauses"]
